#include "text/jinja/value.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lahar::jinja {

namespace {
constexpr size_t kLinearDict = 12;  // entries that are searched one by one

template <typename T>
const T& heap_as(const Value& v) {
  return static_cast<const T&>(*v.heap());
}
}  // namespace

Value Value::boolean(bool b, bool trusted) {
  Value v(Kind::kBool);
  v.i_ = b ? 1 : 0;
  v.trusted_ = trusted;
  return v;
}

Value Value::integer(int64_t i, bool trusted) {
  Value v(Kind::kInt);
  v.i_ = i;
  v.trusted_ = trusted;
  return v;
}

Value Value::big_integer(uint64_t i, bool trusted) {
  if (i <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return integer(static_cast<int64_t>(i), trusted);
  Value v = string(Text(std::to_string(i), trusted));
  v.kind_ = Kind::kBigInt;
  v.trusted_ = trusted;
  return v;
}

Value Value::real(double d, bool trusted) {
  Value v(Kind::kFloat);
  v.d_ = d;
  v.trusted_ = trusted;
  return v;
}

Value Value::string(Text text, bool markup) {
  auto object = std::make_shared<StringObj>();
  object->text = std::move(text);
  object->weight = 1 + object->text.size() / 32;
  object->markup = markup;
  return of(Kind::kString, std::move(object));
}

Value Value::seq(SeqKind kind, std::vector<Value> items) {
  auto object = std::make_shared<SeqObj>();
  object->kind = kind;
  for (const Value& item : items) {
    object->depth = std::max(object->depth, item.depth());
    object->weight = std::min(object->weight + item.weight(), kMaxWeight);
  }
  ++object->depth;
  object->items = std::move(items);
  return of(Kind::kSeq, std::move(object));
}

Value Value::dict(std::shared_ptr<DictObj> dict) { return of(Kind::kDict, std::move(dict)); }

Value Value::range(int64_t start, int64_t stop, int64_t step) {
  auto object = std::make_shared<RangeObj>();
  object->start = start;
  object->stop = stop;
  object->step = step;
  const double span = step > 0 ? static_cast<double>(stop) - static_cast<double>(start)
                               : static_cast<double>(start) - static_cast<double>(stop);
  if (span > 0) {  // wide steps and far ends are rounded by double, the caller refuses anything near 2^53
    const auto width = static_cast<uint64_t>(step > 0 ? stop : start) - static_cast<uint64_t>(step > 0 ? start : stop);
    const uint64_t stride = step > 0 ? static_cast<uint64_t>(step) : 0 - static_cast<uint64_t>(step);
    object->size = static_cast<int64_t>(std::min<uint64_t>((width - 1) / stride + 1, 1ULL << 62));
  }
  return of(Kind::kRange, std::move(object));
}

Value Value::undefined(std::string message, bool unsafe) {
  auto object = std::make_shared<UndefinedObj>();
  object->message = std::move(message);
  object->unsafe = unsafe;
  return of(Kind::kUndefined, std::move(object));
}

Value Value::iter(std::shared_ptr<IterObj> iter) { return of(Kind::kIter, std::move(iter)); }

Value Value::of(Kind kind, std::shared_ptr<Heap> object) {
  Value v(kind);
  v.heap_ = std::move(object);
  return v;
}

double Value::as_double() const {
  if (kind_ == Kind::kFloat) return d_;
  if (kind_ == Kind::kBigInt) {
    double d = 0;
    for (char c : str()) d = d * 10 + (c - '0');
    return d;
  }
  return static_cast<double>(i_);
}

const Text& Value::text() const { return heap_as<StringObj>(*this).text; }
bool Value::markup() const { return kind_ == Kind::kString && heap_as<StringObj>(*this).markup; }
const SeqObj& Value::seq() const { return heap_as<SeqObj>(*this); }
const std::vector<Value>& Value::items() const { return seq().items; }
const DictObj& Value::dict() const { return heap_as<DictObj>(*this); }
const RangeObj& Value::range() const { return heap_as<RangeObj>(*this); }
IterObj& Value::iter() const { return static_cast<IterObj&>(*heap_); }
NamespaceObj& Value::ns() const { return static_cast<NamespaceObj&>(*heap_); }
const CallableObj& Value::callable() const { return heap_as<CallableObj>(*this); }
ObjectBase& Value::object() const { return static_cast<ObjectBase&>(*heap_); }
const UndefinedObj& Value::undefined_info() const { return heap_as<UndefinedObj>(*this); }
bool Value::is_seq(SeqKind kind) const { return kind_ == Kind::kSeq && seq().kind == kind; }

size_t DictObj::locate(const Value& key, size_t hash) const {
  if (entries.size() <= kLinearDict) {
    for (size_t i = 0; i < entries.size(); ++i)
      if (equal(entries[i].first, key)) return i;
    return entries.size();
  }
  const auto [first, last] = index.equal_range(hash);
  for (auto it = first; it != last; ++it)
    if (equal(entries[it->second].first, key)) return it->second;
  return entries.size();
}

void DictObj::set(Value key, Value value) {
  const size_t hash = hash_of(key);
  depth = std::max({depth, key.depth() + 1, value.depth() + 1});
  weight = std::min(weight + key.weight() + value.weight(), kMaxWeight);
  const size_t at = locate(key, hash);
  if (at < entries.size()) {
    entries[at].second = std::move(value);
    return;
  }
  entries.emplace_back(std::move(key), std::move(value));
  if (entries.size() == kLinearDict + 1) {
    for (size_t i = 0; i < entries.size(); ++i) index.emplace(hash_of(entries[i].first), i);
  } else if (entries.size() > kLinearDict) {
    index.emplace(hash, at);
  }
}

const Value* DictObj::find(const Value& key) const {
  const size_t at = locate(key, entries.size() <= kLinearDict ? 0 : hash_of(key));
  return at < entries.size() ? &entries[at].second : nullptr;
}

const Value* DictObj::find(std::string_view key) const {
  if (entries.size() > kLinearDict) return find(Value::string(key));
  for (const auto& [k, v] : entries)
    if (k.is_string() && k.str() == key) return &v;
  return nullptr;
}

std::string type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined: return "Undefined";
    case Kind::kNone: return "NoneType";
    case Kind::kBool: return "bool";
    case Kind::kInt:
    case Kind::kBigInt: return "int";
    case Kind::kFloat: return "float";
    case Kind::kString: return value.markup() ? "Markup" : "str";
    case Kind::kDict: return "dict";
    case Kind::kRange: return "range";
    case Kind::kIter: return value.iter().type_name;
    case Kind::kNamespace: return "Namespace";
    case Kind::kCallable: return value.callable().type_name();
    case Kind::kObject: return value.object().type_name();
    case Kind::kSeq: break;
  }
  switch (value.seq().kind) {
    case SeqKind::kList: return "list";
    case SeqKind::kKeys: return "dict_keys";
    case SeqKind::kValues: return "dict_values";
    case SeqKind::kItems: return "dict_items";
    case SeqKind::kTuple: break;
    case SeqKind::kGroup: return "_GroupTuple";
  }
  return "tuple";
}

bool truthy(const Value& v) {
  switch (v.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone: return false;
    case Kind::kBool:
    case Kind::kInt: return v.as_int() != 0;
    case Kind::kFloat: return v.as_double() != 0;
    case Kind::kString: return !v.text().empty();
    case Kind::kSeq: return !v.items().empty();
    case Kind::kDict: return !v.dict().entries.empty();
    case Kind::kRange: return v.range().size != 0;
    default: return true;
  }
}

namespace {

// Exact comparison of an integer with a double: -1, 0, 1, or 2 for NaN.
int compare_int_double(int64_t i, double d) {
  if (std::isnan(d)) return 2;
  if (d >= 9223372036854775808.0) return -1;
  if (d < -9223372036854775808.0) return 1;
  const double whole = std::floor(d);
  const auto w = static_cast<int64_t>(whole);
  if (i != w) return i < w ? -1 : 1;
  return d > whole ? -1 : 0;
}

int compare_numbers(const Value& a, const Value& b) {
  if (a.is(Kind::kBigInt) && b.is(Kind::kBigInt)) {
    const std::string &x = a.str(), &y = b.str();
    const int c = x.size() != y.size() ? (x.size() < y.size() ? -1 : 1) : x.compare(y);
    return c < 0 ? -1 : c > 0 ? 1 : 0;
  }
  if (a.integral() && b.integral()) return a.as_int() < b.as_int() ? -1 : a.as_int() > b.as_int() ? 1 : 0;
  if (a.is(Kind::kBigInt) && b.integral()) return 1;
  if (b.is(Kind::kBigInt) && a.integral()) return -1;
  if (a.integral()) return compare_int_double(a.as_int(), b.as_double());
  if (b.integral()) {
    const int c = compare_int_double(b.as_int(), a.as_double());
    return c == 2 ? 2 : -c;
  }
  const double x = a.as_double(), y = b.as_double();
  return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
}

bool tuple_like(const Value& v) { return v.is_seq(SeqKind::kTuple) || v.is_seq(SeqKind::kGroup); }

}  // namespace

bool equal(const Value& a, const Value& b) {
  if (a.number() && b.number()) return compare_numbers(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone: return true;
    case Kind::kString: return a.str() == b.str();
    case Kind::kSeq: {
      if (a.heap() == b.heap()) return true;
      if (!(tuple_like(a) && tuple_like(b)) && a.seq().kind != b.seq().kind) return false;
      if (a.is_seq(SeqKind::kValues)) return false;
      const auto &x = a.items(), &y = b.items();
      return x.size() == y.size() && std::equal(x.begin(), x.end(), y.begin(), equal);
    }
    case Kind::kDict: {
      if (a.heap() == b.heap()) return true;
      if (a.dict().entries.size() != b.dict().entries.size()) return false;
      for (const auto& [key, value] : a.dict().entries) {
        const Value* other = b.dict().find(key);
        if (other == nullptr || !equal(value, *other)) return false;
      }
      return true;
    }
    case Kind::kRange: {
      const RangeObj &x = a.range(), &y = b.range();
      return x.size == y.size && (x.size == 0 || (x.start == y.start && (x.size == 1 || x.step == y.step)));
    }
    default: return a.heap() == b.heap();
  }
}

bool identical(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kNone: return true;
    case Kind::kBool:
    case Kind::kInt: return a.as_int() == b.as_int();
    case Kind::kFloat: return a.as_double() == b.as_double();
    case Kind::kString: return a.heap() == b.heap() || a.str() == b.str();
    case Kind::kSeq:
      return a.heap() == b.heap() || (tuple_like(a) && tuple_like(b) && a.items().empty() && b.items().empty());
    default: return a.heap() == b.heap();
  }
}

bool hashable(const Value& v) {
  if (v.is(Kind::kDict)) return false;
  if (!v.is(Kind::kSeq)) return true;
  if (!tuple_like(v)) return v.is_seq(SeqKind::kValues);
  return std::all_of(v.items().begin(), v.items().end(), hashable);
}

size_t hash_of(const Value& v) {
  if (v.number()) return std::hash<double>()(v.as_double());
  if (v.is_string()) return std::hash<std::string>()(v.str());
  if (tuple_like(v)) {
    size_t h = 17;
    for (const Value& item : v.items()) h = h * 1000003 + hash_of(item);
    return h;
  }
  if (v.is(Kind::kRange)) return static_cast<size_t>(v.range().size);  // equal ranges may differ in their ends
  if (v.is(Kind::kNone) || v.undefined()) return static_cast<size_t>(v.kind());
  return std::hash<const void*>()(v.heap().get());
}

Result<int> compare(const Value& a, const Value& b, const char* op) {
  if (a.undefined()) return undefined_error(a);
  if (b.undefined()) return undefined_error(b);
  if (a.number() && b.number()) return compare_numbers(a, b);
  if (a.is_string() && b.is_string()) {
    const int c = a.str().compare(b.str());  // the order of UTF-8 bytes is that of the code points
    return c < 0 ? -1 : c > 0 ? 1 : 0;
  }
  const bool both_lists = a.is_seq(SeqKind::kList) && b.is_seq(SeqKind::kList);
  if (both_lists || (tuple_like(a) && tuple_like(b))) {
    const auto &x = a.items(), &y = b.items();
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i)
      if (!equal(x[i], y[i])) return compare(x[i], y[i], op);
    return x.size() < y.size() ? -1 : x.size() > y.size() ? 1 : 0;
  }
  return type_error("'" + std::string(op) + "' not supported between instances of '" + type_name(a) + "' and '" +
                    type_name(b) + "'");
}

namespace {
bool trusted_to(const Value& v, uint32_t depth) {
  if (depth > 1000) return false;
  const auto deeper = [depth](const Value& x) { return trusted_to(x, depth + 1); };
  switch (v.kind()) {
    case Kind::kString:
    case Kind::kBigInt: return v.text().all_trusted();
    case Kind::kSeq: return std::all_of(v.items().begin(), v.items().end(), deeper);
    case Kind::kDict:
      return std::all_of(v.dict().entries.begin(), v.dict().entries.end(),
                         [&](const auto& entry) { return deeper(entry.first) && deeper(entry.second); });
    case Kind::kNamespace: return false;
    case Kind::kUndefined:
    case Kind::kMissing: return true;
    default: return v.trusted();
  }
}
}  // namespace

bool all_trusted(const Value& value) { return trusted_to(value, 0); }

Error type_error(std::string message) { return {ErrorCode::kRefused, "TypeError: " + std::move(message)}; }
Error value_error(std::string message) { return {ErrorCode::kRefused, "ValueError: " + std::move(message)}; }
Error runtime_error(std::string message) { return {ErrorCode::kRefused, std::move(message)}; }
Error limit_error(std::string message) { return {ErrorCode::kLimit, std::move(message)}; }

Error undefined_error(const Value& value) {
  if (!value.undefined()) return {ErrorCode::kRefused, "UndefinedError: value is undefined"};
  const UndefinedObj& info = value.undefined_info();
  return {ErrorCode::kRefused, (info.unsafe ? "SecurityError: " : "UndefinedError: ") + info.message};
}

}  // namespace lahar::jinja
