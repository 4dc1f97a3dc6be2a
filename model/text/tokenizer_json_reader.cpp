#include "text/tokenizer_json_reader.h"

#include <optional>
#include <utility>

#include "text/utf8.h"

namespace lahar {
namespace {

using nlohmann::json;

constexpr size_t kDeepest = 64;
constexpr size_t kMostNodes = 500'000;  // of the tree; real files have up to some 60 000, nearly all in added_tokens

// The handler that nlohmann's parser calls; a false return ends the parse, and `error` says why.
class Handler : public nlohmann::json_sax<json> {
 public:
  TokenizerJson out;
  std::optional<Error> error;

  bool null() override { return scalar(nullptr); }
  bool boolean(bool value) override { return scalar(value); }
  bool number_integer(number_integer_t value) override { return number(value, value, static_cast<double>(value)); }
  bool number_unsigned(number_unsigned_t value) override {
    return number(value, value > INT64_MAX ? INT64_MAX : static_cast<int64_t>(value), static_cast<double>(value));
  }
  bool number_float(number_float_t value, const string_t&) override { return number(value, std::nullopt, value); }
  bool binary(binary_t&) override { return false; }

  bool string(string_t& value) override {
    switch (where_) {
      case Where::kTree: return scalar(std::move(value));
      case Where::kVocabPair:
        if (pair_parts_ != 0) return fail("a vocabulary entry is not [text, score]");
        pair_parts_ = 1;
        return store(value, pending_);
      case Where::kMerges: return add_merge(value);
      case Where::kMergePair: {
        if (pair_parts_ > 1) return fail("a merge has more than two parts");
        TokenizerJson::Merge& merge = out.merges.back();
        return store(value, pair_parts_++ == 0 ? merge.left : merge.right);
      }
      default: return fail("a string where the vocabulary has a number");
    }
  }

  bool key(string_t& value) override {
    if (where_ == Where::kVocab) return store(value, pending_);
    key_ = std::move(value);
    if (stack_.size() == 1) in_model_ = key_ == "model";
    return true;
  }

  bool start_object(size_t) override {
    if (where_ == Where::kTree && at_model_key("vocab")) {
      if (std::exchange(out.has_vocab, true)) return fail("two vocabularies");
      where_ = Where::kVocab;
      return true;
    }
    return open(json::object());
  }

  bool start_array(size_t) override {
    if (where_ == Where::kTree && at_model_key("vocab")) {
      if (std::exchange(out.has_vocab, true)) return fail("two vocabularies");
      out.vocab_is_list = true;
      where_ = Where::kVocabList;
      return true;
    }
    if (where_ == Where::kTree && at_model_key("merges")) {
      if (std::exchange(out.has_merges, true)) return fail("two lists of merges");
      where_ = Where::kMerges;
      return true;
    }
    if (where_ == Where::kVocabList || where_ == Where::kMerges) {
      if (where_ == Where::kMerges) out.merges.emplace_back();
      where_ = where_ == Where::kMerges ? Where::kMergePair : Where::kVocabPair;
      pair_parts_ = 0;
      return true;
    }
    return open(json::array());
  }

  bool end_object() override {
    if (where_ == Where::kVocab) {
      where_ = Where::kTree;
      return true;
    }
    return close();
  }

  bool end_array() override {
    switch (where_) {
      case Where::kVocabPair:
        where_ = Where::kVocabList;
        return pair_parts_ == 2 || fail("a vocabulary entry is not [text, score]");
      case Where::kMergePair: where_ = Where::kMerges; return pair_parts_ == 2 || fail("a merge has less than two parts");
      case Where::kVocabList:
      case Where::kMerges: where_ = Where::kTree; return true;
      default: return close();
    }
  }

  bool parse_error(size_t position, const std::string&, const json::exception& exception) override {
    // The exception's text has the place and the reason; its number in brackets in front is of no use to a reader.
    std::string_view reason = exception.what();
    if (const size_t end = reason.find("] "); end != std::string_view::npos) reason.remove_prefix(end + 2);
    error = Error{ErrorCode::kFormat, "tokenizer.json is not valid JSON at byte " + std::to_string(position) + ": " +
                                          utf8::printable(reason, 200)};
    return false;
  }

 private:
  enum class Where { kTree, kVocab, kVocabList, kVocabPair, kMerges, kMergePair };

  bool fail(const char* what) {
    error = Error{ErrorCode::kFormat, std::string("tokenizer.json: ") + what};
    return false;
  }

  // Whether the value that comes next is model.`name`.
  bool at_model_key(std::string_view name) const {
    return stack_.size() == 2 && in_model_ && stack_.back()->is_object() && key_ == name;
  }

  bool store(const std::string& text, TokenizerJson::Text& where) {
    where = {static_cast<uint32_t>(out.arena.size()), static_cast<uint32_t>(text.size())};
    out.arena += text;
    return true;
  }

  bool add_merge(const std::string& text) {
    const size_t space = text.find(' ');
    if (space == std::string::npos || space == 0 || space + 1 == text.size() ||
        text.find(' ', space + 1) != std::string::npos)
      return fail("a merge is not two tokens with a space between");
    TokenizerJson::Merge& merge = out.merges.emplace_back();
    return store(text.substr(0, space), merge.left) && store(text.substr(space + 1), merge.right);
  }

  template <typename T>
  bool number(T value, std::optional<int64_t> id, double score) {
    switch (where_) {
      case Where::kTree: return scalar(value);
      case Where::kVocab:
        if (!id) return fail("an id of the vocabulary is not an integer");
        out.vocab.push_back({pending_, *id, 0});
        return true;
      case Where::kVocabPair:
        if (std::exchange(pair_parts_, 2) != 1) return fail("a vocabulary entry is not [text, score]");
        out.vocab.push_back({pending_, static_cast<int64_t>(out.vocab.size()), score});
        return true;
      default: return fail("a number where a vocabulary entry or a merge should be");
    }
  }

  // The place of the next value in the tree; null (and an error) where it may not be there.
  json* place(json value) {
    if (where_ != Where::kTree) {
      fail("the vocabulary or the merges hold a value of a wrong type");
      return nullptr;
    }
    if (++nodes_ > kMostNodes || stack_.size() >= kDeepest) {
      error = Error{ErrorCode::kLimit, "tokenizer.json: its tree is larger or deeper than any tokenizer's"};
      return nullptr;
    }
    if (stack_.empty()) {
      out.rest = std::move(value);
      return &out.rest;
    }
    json& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }

  bool scalar(json value) { return place(std::move(value)) != nullptr; }

  bool open(json value) {
    json* node = place(std::move(value));
    if (!node) return false;
    stack_.push_back(node);
    return true;
  }

  bool close() {
    stack_.pop_back();
    if (stack_.size() <= 1) in_model_ = false;
    return true;
  }

  Where where_ = Where::kTree;
  std::vector<json*> stack_;  // the open objects and arrays; a parent does not change while a child is open
  std::string key_;
  bool in_model_ = false;
  int pair_parts_ = 0;
  size_t nodes_ = 0;
  TokenizerJson::Text pending_;
};

}  // namespace

Result<TokenizerJson> read_tokenizer_json(std::string_view text) {
  if (text.size() > UINT32_MAX / 2) return Error{ErrorCode::kLimit, "tokenizer.json is larger than 2 GiB"};
  Handler handler;
  if (!json::sax_parse(text.begin(), text.end(), &handler)) {
    if (handler.error) return std::move(*handler.error);
    return Error{ErrorCode::kFormat, "tokenizer.json is not valid JSON"};
  }
  if (!handler.out.rest.is_object()) return Error{ErrorCode::kFormat, "tokenizer.json is not an object"};
  return std::move(handler.out);
}

}  // namespace lahar
