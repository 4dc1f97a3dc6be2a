// What happens to a text before a model sees it: normalizers rewrite it, pre-tokenizers cut it into pieces that are
// tokenized one by one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/result.h"
#include "text/tokenizer_regex.h"

namespace lahar {

// Rewrites a text step by step. Immutable once built; thread-safe.
class Normalizer {
 public:
  struct Prepend {  // puts `text` in front of a text that is not empty
    std::string text;
  };
  struct Replace {  // every match of `pattern`, or of `literal` where there is no pattern, becomes `with`
    std::optional<Regex> pattern;
    std::string literal, with;
  };
  enum class Unicode { kComposed, kDecomposed, kLowercaseAscii };  // NFC, NFD; bytes that are not UTF-8 stay as they are
  using Step = std::variant<Prepend, Replace, Unicode>;

  void add(Step step) { steps_.push_back(std::move(step)); }
  bool empty() const { return steps_.empty(); }
  // Errors: kLimit where the text grows over `limit` bytes.
  Status apply(std::string& text, size_t limit, RegexScratch& scratch) const;

 private:
  std::vector<Step> steps_;
};

// Cuts a text into pieces. Immutable once built; thread-safe.
class PreTokenizer {
 public:
  enum class Behavior { kRemoved, kIsolated, kContiguous, kMergedWithPrevious, kMergedWithNext };
  struct Split {  // by the names of tokenizer.json
    Regex pattern;
    Behavior behavior = Behavior::kIsolated;
    bool invert = false;
  };
  struct PrefixSpace {};   // a space in front of every piece that does not start with one
  struct ByteAlphabet {};  // rewrites bytes as vocabularies spell them, for the steps after it; undone at the end
  struct Metaspace {
    std::string replacement;  // for a space
    enum class Prepend { kAlways, kFirst, kNever } prepend = Prepend::kAlways;
    bool split = true;
  };
  using Step = std::variant<Split, PrefixSpace, ByteAlphabet, Metaspace>;

  void add(Step step) { steps_.push_back(std::move(step)); }

  struct Pieces {
    std::string text;
    std::vector<TextPart> parts;  // of `text`, in order; `matched` means nothing here
  };
  // `first`: the text begins where the whole input begins.
  Status apply(std::string text, bool first, RegexScratch& scratch, Pieces& pieces) const;

 private:
  std::vector<Step> steps_;
};

// The pre-tokenizers that GGUF files name in tokenizer.ggml.pre.
struct NamedPreTokenizer {
  std::vector<std::string_view> patterns;  // each an isolated split, one after the other
  bool ignore_merges = false;              // a piece that is a token as a whole is taken without merging
  bool add_bos = false;
};

// nullopt for a name that is not known.
std::optional<NamedPreTokenizer> named_pre_tokenizer(std::string_view name);
// GPT-2's pattern, which is also ByteLevel's own of tokenizer.json.
extern const std::string_view kGpt2Pattern;

}  // namespace lahar
