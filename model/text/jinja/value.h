// What a template computes with: Python's values, as far as templates can see them. Strings, sequences and dicts never
// change once made (the sandbox is immutable), so copies share them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/result.h"
#include "text/jinja/text.h"

namespace lahar::jinja {

class Interp;
class Value;

enum class Kind : uint8_t {
  kMissing,  // no value at all: a parameter that was not given; never seen by a template
  kUndefined,
  kNone,
  kBool,
  kInt,
  kBigInt,  // an integer of 64 unsigned bits, kept as its digits: it can be printed and compared, not computed with
  kFloat,
  kString,
  kSeq,
  kDict,
  kRange,
  kIter,
  kNamespace,
  kCallable,  // functions, macros, bound methods
  kObject,    // loop, cycler: an ObjectBase with attributes of its own
};

// The kinds of sequence: one representation, different names, methods and printing.
enum class SeqKind : uint8_t { kList, kTuple, kKeys, kValues, kItems, kGroup };

struct Heap {
  virtual ~Heap() = default;
  uint32_t depth = 0;   // how deep values nest in this one: bounded, so that destruction and printing may recurse
  uint64_t weight = 1;  // values in it counted as a tree, saturating: bounded, because equality walks shared parts again
};

struct StringObj;
struct SeqObj;
struct DictObj;
struct RangeObj;
struct IterObj;
struct NamespaceObj;
struct CallableObj;
struct ObjectBase;
struct UndefinedObj;

class Value {
 public:
  Value() = default;  // missing
  static Value none() { return Value(Kind::kNone); }
  static Value boolean(bool b, bool trusted = true);
  static Value integer(int64_t i, bool trusted = true);
  static Value big_integer(uint64_t i, bool trusted = true);
  static Value real(double d, bool trusted = true);
  static Value string(Text text, bool markup = false);
  static Value string(std::string_view literal) { return string(Text(std::string(literal), true)); }
  static Value list(std::vector<Value> items) { return seq(SeqKind::kList, std::move(items)); }
  static Value tuple(std::vector<Value> items) { return seq(SeqKind::kTuple, std::move(items)); }
  static Value seq(SeqKind kind, std::vector<Value> items);
  static Value dict(std::shared_ptr<DictObj> dict);
  static Value range(int64_t start, int64_t stop, int64_t step);
  // message: what an operation on it fails with.
  static Value undefined(std::string message, bool unsafe = false);
  static Value iter(std::shared_ptr<IterObj> iter);
  static Value of(Kind kind, std::shared_ptr<Heap> object);

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool missing() const { return kind_ == Kind::kMissing; }
  bool undefined() const { return kind_ == Kind::kUndefined; }
  bool none_value() const { return kind_ == Kind::kNone; }
  bool number() const {
    return kind_ == Kind::kBool || kind_ == Kind::kInt || kind_ == Kind::kFloat || kind_ == Kind::kBigInt;
  }
  bool integral() const { return kind_ == Kind::kBool || kind_ == Kind::kInt; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_seq(SeqKind kind) const;

  bool trusted() const { return trusted_; }  // of numbers; a string knows it per byte
  bool as_bool() const { return i_ != 0; }
  int64_t as_int() const { return i_; }  // kBool, kInt
  double as_double() const;              // any number
  const Text& text() const;              // kString, kBigInt
  const std::string& str() const { return text().bytes(); }
  bool markup() const;
  const SeqObj& seq() const;
  const std::vector<Value>& items() const;
  const DictObj& dict() const;
  const RangeObj& range() const;
  IterObj& iter() const;
  NamespaceObj& ns() const;
  const CallableObj& callable() const;
  ObjectBase& object() const;
  const UndefinedObj& undefined_info() const;
  const std::shared_ptr<Heap>& heap() const { return heap_; }
  uint32_t depth() const { return heap_ ? heap_->depth : 0; }
  uint64_t weight() const { return heap_ ? heap_->weight : 1; }

 private:
  explicit Value(Kind kind) : kind_(kind) {}
  Kind kind_ = Kind::kMissing;
  bool trusted_ = true;
  union {
    int64_t i_ = 0;
    double d_;
  };
  std::shared_ptr<Heap> heap_;  // what the kind says, null for the plain ones
};

struct UndefinedObj : Heap {
  std::string message;
  bool unsafe = false;  // refused by the sandbox
};

struct StringObj : Heap {
  Text text;
  bool markup = false;  // went through |safe or |escape
};

struct SeqObj : Heap {
  SeqKind kind = SeqKind::kList;
  std::vector<Value> items;
};

struct DictObj : Heap {
  std::vector<std::pair<Value, Value>> entries;   // in order of insertion
  std::unordered_multimap<size_t, size_t> index;  // hash -> entry, once there are more than a few

  // The key must be hashable (see hash_of). An equal key keeps its place and takes the value.
  void set(Value key, Value value);
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;

 private:
  size_t locate(const Value& key, size_t hash) const;
};

struct RangeObj : Heap {
  int64_t start = 0, stop = 0, step = 1;
  int64_t size = 0;
  int64_t at(int64_t i) const { return start + i * step; }
};

// Something that yields values once. next() leaves `out` missing at the end.
struct IterObj : Heap {
  std::function<Status(Value& out)> next;
  const char* type_name = "generator";
};

struct NamespaceObj : Heap {
  DictObj attributes;
};

constexpr uint64_t kMaxWeight = 1ULL << 60;

struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

struct CallableObj : Heap {
  virtual Result<Value> call(Interp& in, Args& args) const = 0;
  virtual std::string describe() const = 0;  // what printing it gives
  virtual const char* type_name() const { return "function"; }
  virtual Value attribute(std::string_view) const { return {}; }  // missing where there is none
};

struct ObjectBase : Heap {
  // self: the value that holds this object. Missing where there is no such attribute.
  virtual Result<Value> attribute(Interp& in, const Value& self, std::string_view name) = 0;
  virtual const char* type_name() const = 0;
  virtual Result<Value> call(Interp& in, Args& args) = 0;
};

// Python's name of the type, for messages: "str", "NoneType", "dict".
std::string type_name(const Value& value);
// bool(value)
bool truthy(const Value& value);
// value1 == value2
bool equal(const Value& a, const Value& b);
// Python's `is`, as far as it can be told.
bool identical(const Value& a, const Value& b);
bool hashable(const Value& value);
size_t hash_of(const Value& value);
// -1, 0, 1; 2 for unordered (NaN). TypeError where Python has no order; `op` is for its message.
Result<int> compare(const Value& a, const Value& b, const char* op);
// Whether no byte and no number in it came from outside.
bool all_trusted(const Value& value);

Error type_error(std::string message);
Error value_error(std::string message);
Error runtime_error(std::string message);  // with the name of the exception in front
Error limit_error(std::string message);
// What an operation on an undefined value fails with.
Error undefined_error(const Value& value);

}  // namespace lahar::jinja
