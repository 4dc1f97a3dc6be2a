// What a template may not do: take forever, take all memory, overflow the stack; and how its mistakes are reported.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "test_data.h"
#include "text/chat_template.h"

namespace lahar {
namespace {

std::string repeat(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

Result<Rendering> render(const std::string& source, const TemplateLimits& limits = {}) {
  LAHAR_ASSIGN(const ChatTemplate parsed, ChatTemplate::parse(source));
  ChatInput input;
  input.messages = nlohmann::ordered_json::parse(R"([{"role": "user", "content": "Hi"}])");
  return parsed.render(input, limits);
}

ErrorCode code_of(const std::string& source, const TemplateLimits& limits = {}) {
  const auto result = render(source, limits);
  EXPECT_FALSE(result.ok()) << source.substr(0, 200);
  return result.ok() ? ErrorCode::kInternal : result.error().code;
}

TEST(JinjaLimits, SizesAreRefusedBeforeTheyAreMade) {
  for (const char* source :
       {"{{ 'a' * 10**9 }}", "{{ 'a' * 9223372036854775807 }}", "{{ ([1] * 10**9)|length }}", "{{ 'a'.ljust(10**12) }}",
        "{{ 'a'|center(10**12) }}", "{{ '%1000000000000d' % 1 }}", "{{ '{:1000000000000}'.format(1) }}",
        "{{ '%.*f' % (999999999999, 1) }}{{ 'x' * 10**8 }}", "{{ 'a'.zfill(10**15) }}", "{{ 'a\tb'.expandtabs(10**13) }}",
        "{{ ['a']|tojson(indent=10**12) }}", "{{ [1]|batch(10**10, 'x')|list }}", "{{ [1]|slice(10**10)|list }}",
        "{{ 'a'|indent(10**12) }}", "{{ 9223372036854775807 + 1 }}", "{{ -9223372036854775807 - 2 }}", "{{ 2**64 }}",
        "{{ 4611686018427387904 * 2 }}", "{{ ('a' * 10**7).split('') if false else ('a,' * 10**7).split(',') }}"}) {
    EXPECT_EQ(code_of(source), ErrorCode::kLimit) << source;
  }
  EXPECT_EQ(code_of("{{ range(10**9) }}"), ErrorCode::kRefused);
}

TEST(JinjaLimits, StepsAreCounted) {
  EXPECT_EQ(code_of("{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}", {.steps = 500'000}),
            ErrorCode::kLimit);
  EXPECT_EQ(
      code_of("{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(1000) %}{% set ns.s = ns.s + ns.s %}{% endfor %}"),
      ErrorCode::kLimit);
  EXPECT_EQ(code_of("{% set ns = namespace(l=[1]) %}{% for i in range(1000) %}{% set ns.l = ns.l + ns.l %}{% endfor %}"),
            ErrorCode::kLimit);
  const auto few = render("{% for a in range(100) %}{{ a }}{% endfor %}", {.steps = 50});
  ASSERT_FALSE(few.ok());
  EXPECT_EQ(few.error().code, ErrorCode::kLimit);
}

TEST(JinjaLimits, SearchIsLinear) {
  // Quadratic search would take hours here.
  const auto found = render(
      "{{ ('a' * 2000000).find('a' * 1000000 + 'b') }},{{ ('a' * 2000000).replace('a' * 1000000 + 'b', '')|length }}");
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_EQ(found->text(), "-1,2000000");
}

TEST(JinjaLimits, OutputIsBounded) {
  const auto result = render("{% for a in range(1000) %}{{ 'x' * 100 }}{% endfor %}", {.output_bytes = 5000});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kLimit);
}

TEST(JinjaLimits, DepthOfTheSource) {
  for (const char* open : {"(", "[", "-", "not ", "{1:", "f(", "1 if ", "x|default(", "1+("}) {
    EXPECT_FALSE(ChatTemplate::parse("{{ " + repeat(open, 100000)).ok()) << open;
  }
  EXPECT_EQ(code_of("{{ " + repeat("(", 1000) + "1" + repeat(")", 1000) + " }}"), ErrorCode::kLimit);
  EXPECT_EQ(code_of("{{ 1" + repeat("+1", 10000) + " }}"), ErrorCode::kLimit);
  EXPECT_EQ(code_of("{{ x" + repeat("|string", 10000) + " }}"), ErrorCode::kLimit);
  EXPECT_EQ(code_of("{{ x" + repeat(".a", 10000) + " }}"), ErrorCode::kLimit);
  EXPECT_EQ(code_of(repeat("{% if 1 %}", 1000) + repeat("{% endif %}", 1000)), ErrorCode::kLimit);
  const auto many = render("{{ ''" + repeat(" ~ 'a'", 20000) + " }}" + repeat("{% if 1 %}{% endif %}", 5000));
  ASSERT_TRUE(many.ok()) << many.error().message;  // width is no depth
  EXPECT_EQ(many->text(), repeat("a", 20000));
}

TEST(JinjaLimits, DepthOfTheRun) {
  for (const char* source :
       {"{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
        "{% macro f() %}{{ caller }}{% call f() %}{% endcall %}{% endmacro %}{{ f() }}",
        "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% macro f(n) %}{% for i in [1] %}{% if 1 %}{% set x %}{{ [f(n)]|join }}{% endset %}{% endif %}{% endfor %}{% "
        "endmacro %}{{ f(0) }}",
        "{% set ns = namespace(a=[]) %}{% for i in range(100000) %}{% set ns.a = [ns.a] %}{% endfor %}",
        "{% set ns = namespace(a=[]) %}{% for i in range(100000) %}{% set ns.a = {'x': ns.a} %}{% endfor %}",
        "{% set ns = namespace(a=[1]) %}{% for i in range(100000) %}{% set ns.a = ns.a|map('string') %}{% endfor %}",
        "{% set ns = namespace(a=[1]) %}{% for i in range(100000) %}{% set ns.a = [1]|map('default', ns.a) %}{% endfor %}",
        "{% set ns = namespace(a=[1]) %}{% for i in range(100000) %}{% set ns.a = [ns.a].index %}{% endfor %}",
        "{% set ns = namespace(a=1) %}{% for i in range(100000) %}{% set ns.a = cycler(ns.a) %}{% endfor %}",
        "{% set ns = namespace(a=1) %}{% for i in range(100000) %}{% set ns.a = joiner(ns.a) %}{% endfor %}",
        "{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a == ns.a }}",
        "{% set n = namespace() %}{% set n.n = n %}{{ n }}"}) {
    EXPECT_EQ(code_of(source), ErrorCode::kLimit) << source;
  }
}

// Values that hold one another in circles or long chains must neither leak nor overflow the stack when they go.
TEST(JinjaLimits, ChainsAndCirclesAreFreed) {
  for (const char* source :
       {"{% set n = namespace() %}{% set n.n = n %}",
        "{% set n = namespace() %}{% macro f() %}{{ n }}{% endmacro %}{% set n.f = f %}",
        "{% set ns = namespace(n=none) %}{% for i in range(50000) %}{% set ns.n = namespace(p=ns.n) %}{% endfor %}",
        "{% set ns = namespace(l=none) %}{% for j in range(50000) %}{% for i in [ns.l] %}{% set ns.l = loop %}{% endfor "
        "%}{% endfor %}",
        "{% set ns = namespace(c=none) %}{% macro m() %}{% set ns.c = caller %}{% endmacro %}"
        "{% for i in range(20000) %}{% set prev = ns.c %}{% call m() %}{{ prev }}{% endcall %}{% endfor %}",
        "{% for i in [1] recursive %}{% set l = loop %}{% endfor %}"}) {
    const auto result = render(source);
    EXPECT_TRUE(result.ok()) << source << ": " << result.error().message;
  }
}

TEST(JinjaErrors, NameTheLine) {
  const auto message = [](const std::string& source) {
    const auto result = render(source);
    return result.ok() ? "fine: " + result->text()
                       : std::string(to_string(result.error().code)) + ": " + result.error().message;
  };
  const std::string format(to_string(ErrorCode::kFormat)), refused(to_string(ErrorCode::kRefused));
  EXPECT_EQ(message("a\n\n{% foo %}"), format + ": line 3: Encountered unknown tag 'foo'.");
  EXPECT_EQ(message("a\n{{ 1|nosuch }}"), format + ": line 2: No filter named 'nosuch'.");
  EXPECT_EQ(message("a\n{{ 1 is nosuch }}"), format + ": line 2: No test named 'nosuch'.");
  EXPECT_EQ(message("a\n{{ nosuch(1) }}"), refused + ": line 2: UndefinedError: 'nosuch' is undefined");
  EXPECT_EQ(message("a\n{% if true %}\n{{ 1|nosuch }}{% endif %}"),
            refused + ": line 3: TemplateRuntimeError: No filter named 'nosuch' found.");
  EXPECT_EQ(message("\n{{ messages[0].nope.x }}"),
            refused + ": line 2: UndefinedError: 'dict object' has no attribute 'nope'");
  EXPECT_EQ(message("{{ raise_exception('No ' ~ 'way') }}"), refused + ": No way");
  EXPECT_EQ(message("{% set x = messages.append(1) %}"),
            refused + ": line 1: SecurityError: access to attribute 'append' of 'list' object is unsafe.");
  EXPECT_EQ(
      message("{% if x %}"),
      format +
          ": line 1: Unexpected end of template. Jinja was looking for the following tags: 'elif' or 'else' or 'endif'.");
  EXPECT_EQ(message("{% include 'x' %}"), format + ": line 1: 'include' needs other templates, a chat template has none");
}

TEST(JinjaErrors, EveryTruncationAndEveryByteChanged) {
  const std::string source =
      "{%- macro f(a, b=1, *c) -%}{% endmacro %}{% for k, v in messages[0].items() if v is not none recursive -%}\n"
      "{{ loop.index ~ '\\u00e9\\x41' }}{# note #}{% raw %}{{ }}{% endraw %}{% else %}{% break %}{% endfor %}"
      "{% call(x) g(1, *y, **z) %}{% endcall %}{% set ns.a, b = {'k': [1, 2.5e3, (1,)]}['k'][::-1] %}"
      "{% filter upper|replace('a', \"b\") %}{% generation %}x{% endgeneration %}{% endfilter %}{% with a = 1 if b else 2 "
      "%}{% endwith %}";
  const std::string good =
      "{%- macro f(a, b=1) -%}{{ a }}{{ caller() if caller }}{% endmacro %}{% for k, v in messages[0].items() if v is not "
      "none -%}\n"
      "{{ loop.index ~ '\\u00e9\\x41' }}{# note #}{% raw %}{{ }}{% endraw %}{% else %}{% endfor %}"
      "{% call(x) f(1) %}{% endcall %}{% set b = {'k': [1, 2.5e3, (1,)]}['k'][::-1] %}{{ b }}"
      "{% filter upper|replace('a', \"b\") %}{% generation %}x{% endgeneration %}{% endfilter %}{% with a = 1 if b else 2 "
      "%}{% endwith %}";
  ASSERT_TRUE(render(good).ok()) << render(good).error().message;
  for (const std::string& text : {source, good}) {
    for (size_t i = 0; i <= text.size(); ++i) {
      static_cast<void>(render(std::string(text, 0, i)).ok());
      for (const char c : {'\0', '{', '%', '(', '\'', '\xff', '-', '|'}) {
        std::string changed = text;
        if (i < changed.size()) changed[i] = c;
        static_cast<void>(render(changed).ok());
      }
    }
  }
}

TEST(JinjaErrors, EveryTruncationOfRealTemplates) {
  LAHAR_NEED_DATA(folder, "golden/templates");
  for (const char* name : {"Qwen-Qwen3-0.6B.jinja", "google-gemma-2-2b-it.jinja", "GLM-4.6.jinja"}) {
    std::ifstream stream(folder / name);
    ASSERT_TRUE(stream) << name;
    std::stringstream source;
    source << stream.rdbuf();
    const std::string text = source.str();
    for (size_t i = 0; i < text.size(); ++i) static_cast<void>(render(text.substr(0, i), {.steps = 2000}).ok());
  }
}

}  // namespace
}  // namespace lahar
