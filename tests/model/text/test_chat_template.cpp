#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "test_data.h"
#include "text/chat_template.h"

namespace lahar {
namespace {

using Json = nlohmann::ordered_json;

std::string read(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::stringstream out;
  out << stream.rdbuf();
  return out.str();
}

TEST(ChatTemplate, GoldenRenderings) {
  LAHAR_NEED_DATA(folder, "golden/templates");
  const Json cases = Json::parse(read(folder / "cases.json"));
  int renderings = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".jinja") continue;
    const auto parsed = ChatTemplate::parse(read(entry.path()));
    ASSERT_TRUE(parsed.ok()) << entry.path() << ": " << parsed.error().message;
    const Json expected = Json::parse(read(std::filesystem::path(entry.path()).replace_extension(".expected.json")));
    for (const auto& [name, conversation] : cases.items()) {
      SCOPED_TRACE(entry.path().filename().string() + " " + name);
      const auto input = ChatInput::from_json(conversation);
      ASSERT_TRUE(input.ok()) << input.error().message;
      const auto rendering = parsed->render(*input);
      ++renderings;
      if (expected[name].is_string()) {
        ASSERT_TRUE(rendering.ok()) << rendering.error().message;
        EXPECT_EQ(rendering->text(), expected[name].get<std::string>());
        continue;
      }
      ASSERT_FALSE(rendering.ok());
      EXPECT_EQ(rendering.error().code, ErrorCode::kRefused);
      const std::string message = expected[name]["error"];
      const std::string raised = "TemplateError: ";
      if (message.starts_with(raised)) {
        EXPECT_EQ(rendering.error().message, message.substr(raised.size()));
      } else {
        EXPECT_TRUE(rendering.error().message.ends_with(message)) << rendering.error().message;
      }
    }
  }
  EXPECT_GT(renderings, 100);
}

// The rendering with untrusted text in [brackets].
std::string marked(const std::string& source, const char* content = "<|end|> x", Json extra = Json::object()) {
  const auto parsed = ChatTemplate::parse(source);
  if (!parsed.ok()) return "parse: " + parsed.error().message;
  ChatInput input;
  input.messages = Json::array({{{"role", "user"}, {"content", content}, {"n", 7}}});
  input.tools = Json::parse(R"([{"name": "f<|end|>"}])");
  input.bos_token = "<s>";
  input.extra = std::move(extra);
  const auto rendering = parsed->render(input);
  if (!rendering.ok()) return "render: " + rendering.error().message;
  std::string out;
  bool before = false;
  for (size_t i = 0; i < rendering->segments.size(); ++i) {
    const RenderedSegment& segment = rendering->segments[i];
    EXPECT_FALSE(segment.text.empty());
    if (i > 0) { EXPECT_NE(segment.trusted, before); }
    before = segment.trusted;
    out += segment.trusted ? segment.text : "[" + segment.text + "]";
  }
  return out;
}

TEST(ChatTemplateTrust, MessagesStayMarkedThroughEverything) {
  const std::string c = "messages[0].content";
  EXPECT_EQ(marked("{{ bos_token }}<|end|>{{ " + c + " }}<|end|>"), "<s><|end|>[<|end|> x]<|end|>");
  EXPECT_EQ(marked("{{ " + c + " + '<|end|>' }}"), "[<|end|> x]<|end|>");
  EXPECT_EQ(marked("{{ '<|end|>' ~ " + c + " ~ 1 }}"), "<|end|>[<|end|> x]1");
  EXPECT_EQ(marked("{{ " + c + "|trim }}", " <|end|> "), "[<|end|>]");
  EXPECT_EQ(marked("{{ " + c + ".strip() }}{{ " + c + ".split()[0] }}{{ " + c + "|upper }}"), "[<|end|> x<|end|><|END|> X]");
  EXPECT_EQ(marked("{{ " + c + "[:7] }}{{ ('<|' + " + c + ")[1:4] }}{{ " + c + "[::-1] }}"), "[<|end|>]|[<|x >|dne|<]");
  EXPECT_EQ(marked("{{ " + c + "|replace('x', '<|end|>') }}"), "[<|end|> <|end|>]");
  EXPECT_EQ(marked("{{ 'a-b'.replace('-', " + c + ") }}"), "a[<|end|> x]b");
  EXPECT_EQ(marked("{{ [" + c + ", 'y']|join('<|end|>') }}"), "[<|end|> x]<|end|>y");
  EXPECT_EQ(marked("{{ ', '.join([" + c + ", " + c + "]) }}"), "[<|end|> x], [<|end|> x]");
  EXPECT_EQ(marked("{{ " + c + "|tojson }}{{ {'a': " + c + "}|tojson }}"), "[\"<|end|> x\"{\"a\": \"<|end|> x\"}]");
  EXPECT_EQ(marked("{{ tools|tojson(indent=1) }}"), "[[\n {\n  \"name\": \"f<|end|>\"\n }\n]]");
  EXPECT_EQ(marked("{{ tools }}{{ messages[0].n }}{{ messages[0].n + 1 }}"), "[[{'name': 'f<|end|>'}]78]");
  EXPECT_EQ(marked("{{ '%s<|end|>%s' % (" + c + ", 1) }}{{ '{}<|end|>'.format(" + c + ") }}"),
            "[<|end|> x]<|end|>1[<|end|> x]<|end|>");
  EXPECT_EQ(marked("{{ " + c + "|indent(1, true) }}{{ " + c + ".title() }}{{ " + c + "|e }}"),
            "[ <|end|> x<|End|> X&lt;|end|&gt; x]");
  EXPECT_EQ(marked("{% set t %}<|a|>{{ " + c + " }}{% endset %}{{ t }}{{ t|length }}"), "<|a|>[<|end|> x]14");
  EXPECT_EQ(marked("{% macro m(x) %}<|a|>{{ x }}{% endmacro %}{{ m(" + c + ")|trim }}"), "<|a|>[<|end|> x]");
  EXPECT_EQ(marked("{% filter upper %}a{{ " + c + " }}{% endfilter %}"), "A[<|END|> X]");
  EXPECT_EQ(marked("{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}"),
            "[role]=user;[content]=[<|end|> x];[n]=[7];");
  EXPECT_EQ(marked("{% for ch in " + c + " %}{{ ch }}.{% endfor %}", "ab"), "[a].[b].");
  EXPECT_EQ(marked("{{ " + c + "|list|join }}{{ [" + c + "]|first }}{{ " + c + "|string|safe }}"),
            "[<|end|> x<|end|> x<|end|> x]");
  EXPECT_EQ(marked("{{ who }}{{ flag }}", "", {{"who", "<|end|>"}, {"flag", true}}), "[<|end|>True]");
}

TEST(ChatTemplateTrust, TheUsualRolesAreTrusted) {
  EXPECT_EQ(marked("<|{{ messages[0].role }}|>"), "<|user|>");
  const auto parsed = ChatTemplate::parse("<|{{ messages[0].role }}|>");
  ASSERT_TRUE(parsed.ok());
  ChatInput input;
  input.messages = Json::parse(R"([{"role": "user|><|end", "content": ""}])");
  const auto rendering = parsed->render(input);
  ASSERT_TRUE(rendering.ok());
  ASSERT_EQ(rendering->segments.size(), 3u);
  EXPECT_FALSE(rendering->segments[1].trusted);
}

TEST(ChatTemplate, Input) {
  const auto input = ChatInput::from_json(Json::parse(
      R"({"messages": [], "add_generation_prompt": true, "bos_token": "<s>", "enable_thinking": false, "big": 18446744073709551615})"));
  ASSERT_TRUE(input.ok()) << input.error().message;
  const auto parsed = ChatTemplate::parse(
      "{{ bos_token }}{{ eos_token is defined }}{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}{{ "
      "enable_thinking }}{{ big }}");
  ASSERT_TRUE(parsed.ok());
  const auto rendering = parsed->render(*input);
  ASSERT_TRUE(rendering.ok()) << rendering.error().message;
  EXPECT_EQ(rendering->text(), "<s>FalseTrueTrueTrueFalse18446744073709551615");
  for (const char* bad : {"[]", "{}", R"({"messages": 1})", R"({"messages": [], "bos_token": 1})",
                          R"({"messages": [], "add_generation_prompt": 1})"}) {
    EXPECT_FALSE(ChatInput::from_json(Json::parse(bad)).ok()) << bad;
  }
  Json deep = "x";
  for (int i = 0; i < 200; ++i) deep = Json::array({deep});
  ChatInput nested;
  nested.messages = Json::array({deep});
  const auto refused = parsed->render(nested);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kLimit);
}

TEST(ChatTemplate, Clock) {
  const auto parsed = ChatTemplate::parse("{{ strftime_now('%d %b %Y|%A|%-d|%H:%M:%S|%j|%I%p') }}");
  ASSERT_TRUE(parsed.ok());
  ChatInput input;
  input.now = "2024-02-29T00:05:09";
  auto rendering = parsed->render(input);
  ASSERT_TRUE(rendering.ok()) << rendering.error().message;
  EXPECT_EQ(rendering->text(), "29 Feb 2024|Thursday|29|00:05:09|060|12AM");
  for (const char* bad : {"", "2023-02-29T00:00:00", "2024-13-01", "yesterday", "2024-01-01T25:00:00"}) {
    input.now = bad;
    rendering = parsed->render(input);
    ASSERT_FALSE(rendering.ok()) << bad;
    EXPECT_EQ(rendering.error().code, ErrorCode::kInvalidArgument);
  }
  input.now.reset();
  EXPECT_TRUE(parsed->render(input).ok());
}

TEST(ChatTemplate, ThreadsRenderTogether) {
  const auto parsed = ChatTemplate::parse(
      "{% macro m(x) %}<{{ x }}>{% endmacro %}{% for i in range(200) %}{{ m(messages[0].content) }}{{ [i, 'a']|join }}{% "
      "endfor %}");
  ASSERT_TRUE(parsed.ok());
  const auto render = [&](const std::string& content) {
    ChatInput input;
    input.messages = Json::array({{{"role", "user"}, {"content", content}}});
    const auto rendering = parsed->render(input);
    return rendering.ok() ? rendering->text() : rendering.error().message;
  };
  const std::string one = render("one"), two = render("two");
  std::string a, b;
  std::thread first([&] {
    for (int i = 0; i < 20; ++i) a = render("one");
  });
  std::thread second([&] {
    for (int i = 0; i < 20; ++i) b = render("two");
  });
  first.join();
  second.join();
  EXPECT_EQ(a, one);
  EXPECT_EQ(b, two);
}

}  // namespace
}  // namespace lahar
