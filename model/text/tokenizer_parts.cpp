#include "text/tokenizer_parts.h"

#include <algorithm>
#include <string>

#include "text/utf8.h"

namespace lahar {
namespace {

// Tokens that end a turn or a text, by the names that published models give them.
constexpr std::string_view kEndNames[] = {
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<turn|>",
    "</s>",
    "<eos>",
    "<|eos|>",
    "<|return|>",
    "<|call|>",
    "<|EOT|>",
    "<EOT>",
    "_<EOT>",
    "<|eot|>",
    "<|end_of_turn|>",
    "<|endofturn|>",
    "[EOT]",
    "[EOS]",
    "<|END_OF_TURN_TOKEN|>",
    "<\xEF\xBD\x9C"
    "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",
};

std::string with_spaces(std::string_view text) {
  std::string out;
  size_t done = 0;
  for (size_t at = text.find(kMetaspace); at != std::string_view::npos; at = text.find(kMetaspace, done)) {
    out.append(text, done, at - done).push_back(' ');
    done = at + kMetaspace.size();
  }
  return out.append(text, done);
}

}  // namespace

std::optional<uint8_t> byte_token_value(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text.back() != '>') return std::nullopt;
  int value = 0;
  for (char c : text.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    value = value * 16 + digit;
  }
  return static_cast<uint8_t>(value);
}

void make_pieces(Vocabulary& vocabulary, const PieceRules& rules) {
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const TokenType type = vocabulary.type(id);
    const std::string_view text = vocabulary.text(id);
    if (type == TokenType::kByte) {
      if (const auto byte = byte_token_value(text)) vocabulary.set_piece(id, std::string(1, static_cast<char>(*byte)));
      continue;
    }
    const bool proper = type == TokenType::kNormal || type == TokenType::kUnused;
    if (proper && rules.byte_level) {
      if (const auto bytes = utf8::from_byte_alphabet(text)) vocabulary.set_piece(id, *bytes);
    } else if (rules.metaspace && (proper || (type == TokenType::kUserDefined && rules.metaspace_in_user_defined))) {
      if (text.find(kMetaspace) != std::string_view::npos) vocabulary.set_piece(id, with_spaces(text));
    }
  }
}

void MergeBuilder::add(std::string_view left, std::string_view right) {
  const auto first = vocabulary_.find(left), second = vocabulary_.find(right);
  joined_.assign(left).append(right);
  const auto merged = first && second ? vocabulary_.find(joined_) : std::nullopt;
  // A merge must not make a special token out of a text that only spells it.
  if (merged && vocabulary_.is_mergeable(*merged)) table_.add(*first, *second, {count_, *merged});
  else ++ignored_;
  ++count_;
}

MergeTable MergeBuilder::finish(const Log& log) {
  if (ignored_ > 0)
    log.warning("tokenizer: " + std::to_string(ignored_) + " of " + std::to_string(count_) +
                " merges are left out: their parts or their result are no ordinary tokens");
  return std::move(table_);
}

void collect_end_of_generation(detail::TokenizerParts& parts, std::vector<int64_t> ids) {
  auto& ends = parts.end_of_generation;
  if (parts.eos) ids.push_back(*parts.eos);
  for (int64_t id : ids)
    if (id >= 0 && id <= INT32_MAX && parts.vocabulary.contains(static_cast<int32_t>(id)))
      ends.push_back(static_cast<int32_t>(id));
  const auto added = [&](std::string_view name) -> std::optional<int32_t> {
    const auto id = parts.vocabulary.find(name);
    // A piece of ordinary text that happens to read like an end ("</s>" in a vocabulary that knows HTML) is none.
    if (!id || (!parts.vocabulary.is_special(*id) && parts.vocabulary.type(*id) != TokenType::kUserDefined))
      return std::nullopt;
    return id;
  };
  // Where a reply is made of several messages, <|end|> ends a message and <|return|> or <|call|> the reply.
  const bool end_is_inside = added("<|return|>") && added("<|call|>") && (!parts.eos || parts.eos != added("<|end|>"));
  for (std::string_view name : kEndNames) {
    if (end_is_inside && name == "<|end|>") continue;
    if (const auto id = added(name)) ends.push_back(*id);
  }
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
}

}  // namespace lahar
