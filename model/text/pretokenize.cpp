#include "text/pretokenize.h"

#include <utility>

#include "text/utf8.h"
#include "text/utf8_normalize.h"

namespace lahar {
namespace {

using Pieces = PreTokenizer::Pieces;

Error too_long(size_t limit) {
  return Error{ErrorCode::kLimit,
               "tokenizer: the text grows over " + std::to_string(limit) + " bytes while it is normalized"};
}

Status run(const Normalizer::Prepend& step, std::string& text, size_t, RegexScratch&) {
  if (!text.empty()) text.insert(0, step.text);
  return {};
}

Status replace_literal(const Normalizer::Replace& step, std::string& text, size_t limit) {
  size_t at = text.find(step.literal);
  if (at == std::string::npos) return {};
  std::string out;
  out.reserve(text.size() + text.size() / 2);
  size_t done = 0;
  for (; at != std::string::npos; at = text.find(step.literal, done)) {
    out.append(text, done, at - done).append(step.with);
    if (out.size() > limit) return too_long(limit);
    done = at + step.literal.size();
  }
  out.append(text, done);
  text = std::move(out);
  return {};
}

Status run(const Normalizer::Replace& step, std::string& text, size_t limit, RegexScratch& scratch) {
  if (!step.pattern) return replace_literal(step, text, limit);
  std::vector<TextPart> parts;
  LAHAR_TRY(step.pattern->split(text, 0, scratch, parts));
  std::string out;
  for (const TextPart& part : parts) {
    if (part.matched) out.append(step.with);
    else out.append(text, part.begin, part.end - part.begin);
    if (out.size() > limit) return too_long(limit);
  }
  text = std::move(out);
  return {};
}

Status run(Normalizer::Unicode form, std::string& text, size_t, RegexScratch&) {
  switch (form) {
    case Normalizer::Unicode::kComposed: utf8::to_nfc(text); break;
    case Normalizer::Unicode::kDecomposed: utf8::to_nfd(text); break;
    case Normalizer::Unicode::kLowercaseAscii:
      for (char& c : text)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
      break;
  }
  return {};
}

// Gives every part of `pieces` a new text: edit(view, index, out) appends it.
template <typename Edit>
void rewrite(Pieces& pieces, Edit edit) {
  std::string out;
  out.reserve(pieces.text.size() + pieces.text.size() / 4);
  for (size_t i = 0; i < pieces.parts.size(); ++i) {
    TextPart& part = pieces.parts[i];
    const auto begin = static_cast<uint32_t>(out.size());
    edit(std::string_view(pieces.text).substr(part.begin, part.end - part.begin), i, out);
    part.begin = begin;
    part.end = static_cast<uint32_t>(out.size());
  }
  pieces.text = std::move(out);
}

// Puts what one piece was cut into together again as `behavior` says.
void merge_parts(std::vector<TextPart>& cut, PreTokenizer::Behavior behavior, std::vector<TextPart>& out) {
  using Behavior = PreTokenizer::Behavior;
  const size_t first = out.size();
  for (size_t i = 0; i < cut.size(); ++i) {
    const TextPart& part = cut[i];
    const bool follows = out.size() > first;
    const bool after_match = i > 0 && cut[i - 1].matched;
    bool joins = false;
    if (behavior == Behavior::kRemoved && part.matched) continue;
    if (behavior == Behavior::kContiguous) joins = follows && part.matched == after_match;
    if (behavior == Behavior::kMergedWithPrevious) joins = follows && part.matched && !after_match;
    if (behavior == Behavior::kMergedWithNext) joins = follows && !part.matched && after_match;
    if (joins) out.back().end = part.end;
    else out.push_back(part);
  }
}

Status run(const PreTokenizer::Split& step, Pieces& pieces, bool, RegexScratch& scratch) {
  std::vector<TextPart> out, cut;
  out.reserve(pieces.parts.size());
  for (const TextPart& part : pieces.parts) {
    cut.clear();
    const auto text = std::string_view(pieces.text).substr(part.begin, part.end - part.begin);
    LAHAR_TRY(step.pattern.split(text, part.begin, scratch, cut));
    if (step.invert)
      for (TextPart& c : cut) c.matched = !c.matched;
    merge_parts(cut, step.behavior, out);
  }
  pieces.parts = std::move(out);
  return {};
}

Status run(PreTokenizer::PrefixSpace, Pieces& pieces, bool, RegexScratch&) {
  rewrite(pieces, [](std::string_view piece, size_t, std::string& out) {
    if (!piece.starts_with(' ')) out += ' ';
    out += piece;
  });
  return {};
}

Status run(PreTokenizer::ByteAlphabet, Pieces& pieces, bool, RegexScratch&) {
  rewrite(pieces, [](std::string_view piece, size_t, std::string& out) { utf8::append_byte_alphabet(out, piece); });
  return {};
}

Status run(const PreTokenizer::Metaspace& step, Pieces& pieces, bool first, RegexScratch&) {
  using Prepend = PreTokenizer::Metaspace::Prepend;
  rewrite(pieces, [&](std::string_view piece, size_t index, std::string& out) {
    const bool wants_prefix = step.prepend == Prepend::kAlways || (step.prepend == Prepend::kFirst && first && index == 0);
    if (wants_prefix && !piece.starts_with(' ') && !piece.starts_with(step.replacement)) out += step.replacement;
    for (char c : piece) {
      if (c == ' ') out += step.replacement;
      else out += c;
    }
  });
  if (!step.split) return {};
  std::vector<TextPart> out;
  for (const TextPart& part : pieces.parts) {
    uint32_t begin = part.begin;
    for (;;) {
      const size_t next = pieces.text.find(step.replacement, begin + 1);
      const auto end = static_cast<uint32_t>(std::min<size_t>(next, part.end));
      if (begin < end) out.push_back({begin, end, false});
      if (end == part.end) break;
      begin = end;
    }
  }
  pieces.parts = std::move(out);
  return {};
}

}  // namespace

Status Normalizer::apply(std::string& text, size_t limit, RegexScratch& scratch) const {
  for (const Step& step : steps_) LAHAR_TRY(std::visit([&](const auto& s) { return run(s, text, limit, scratch); }, step));
  return {};
}

Status PreTokenizer::apply(std::string text, bool first, RegexScratch& scratch, Pieces& pieces) const {
  pieces.text = std::move(text);
  pieces.parts.clear();
  if (pieces.text.empty()) return {};
  pieces.parts.push_back({0, static_cast<uint32_t>(pieces.text.size()), false});
  bool spelled = false;
  for (const Step& step : steps_) {
    spelled |= std::holds_alternative<ByteAlphabet>(step);
    LAHAR_TRY(std::visit([&](const auto& s) { return run(s, pieces, first, scratch); }, step));
  }
  if (!spelled) return {};
  rewrite(pieces, [](std::string_view piece, size_t, std::string& out) {
    // A cut never falls inside a character, and nothing but the alphabet is there.
    out += utf8::from_byte_alphabet(piece).value_or(std::string(piece));
  });
  return {};
}

}  // namespace lahar
