// The functions a template can call without being given them.
#include <algorithm>

#include "text/jinja/interp.h"
#include "text/jinja/strftime.h"

namespace lahar::jinja {

namespace {

using Values = std::vector<Value>;
constexpr int64_t kMaxRange = 100'000;  // as in Jinja's sandbox

Result<Value> range(Interp&, Args& args) {
  if (!args.named.empty()) return type_error("range() takes no keyword arguments");
  const size_t count = args.positional.size();
  if (count < 1 || count > 3) return type_error("range expected 1 to 3 arguments, got " + std::to_string(count));
  int64_t bound[3] = {0, 0, 1};
  for (size_t i = 0; i < count; ++i) {
    if (args.positional[i].none_value()) return type_error("'NoneType' object cannot be interpreted as an integer");
    LAHAR_ASSIGN(bound[count == 1 ? 1 : i], int_argument(args.positional[i], 0, "range"));
  }
  if (bound[2] == 0) return value_error("range() arg 3 must not be zero");
  Value out = Value::range(bound[0], bound[1], bound[2]);
  if (out.range().size > kMaxRange) {
    return runtime_error("OverflowError: Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).");
  }
  return out;
}

// dict(...) and namespace(...): a mapping or pairs, then named values.
Status fill(Interp& in, Args& args, const char* name, DictObj& out) {
  if (args.positional.size() > 1) {
    return type_error(std::string(name) + " expected at most 1 argument, got " + std::to_string(args.positional.size()));
  }
  if (!args.positional.empty()) {
    const Value& from = args.positional[0];
    if (from.is(Kind::kDict)) {
      LAHAR_TRY(in.charge(from.dict().entries.size()));
      for (const auto& [key, value] : from.dict().entries) out.set(key, value);
    } else {
      LAHAR_ASSIGN(const Values pairs, in.collect(from));
      for (const Value& pair : pairs) {
        LAHAR_ASSIGN(const Values parts, in.collect(pair));
        if (parts.size() != 2)
          return value_error("dictionary update sequence element has length " + std::to_string(parts.size()) +
                             "; 2 is required");
        if (!hashable(parts[0])) return type_error("unhashable type: '" + type_name(parts[0]) + "'");
        out.set(parts[0], parts[1]);
      }
    }
  }
  for (auto& [key, value] : args.named) out.set(Value::string(key), std::move(value));
  return {};
}

Result<Value> dict(Interp& in, Args& args) {
  auto object = std::make_shared<DictObj>();
  LAHAR_TRY(fill(in, args, "dict", *object));
  return in.make_dict(std::move(object));
}

Result<Value> make_namespace(Interp& in, Args& args) {
  auto object = std::make_shared<NamespaceObj>();
  LAHAR_TRY(fill(in, args, "namespace", object->attributes));
  LAHAR_TRY(in.charge(4));
  return in.make_namespace(std::move(object));
}

class Cycler : public ObjectBase {
 public:
  explicit Cycler(Values items) : items_(std::move(items)) {
    for (const Value& item : items_) depth = std::max(depth, item.depth() + 1);
  }
  const char* type_name() const override { return "Cycler"; }
  Result<Value> call(Interp&, Args&) override { return type_error("'Cycler' object is not callable"); }
  Result<Value> attribute(Interp&, const Value& self, std::string_view name) override {
    if (name == "current") return items_[at_];
    if (name == "pos") return Value::integer(static_cast<int64_t>(at_));
    if (name != "next" && name != "reset") return Value();
    const bool advance = name == "next";
    return native(std::string(name), self.depth(), [self, this, advance](Interp&, Args&) -> Result<Value> {
      const Value current = items_[at_];
      at_ = advance ? (at_ + 1) % items_.size() : 0;
      return advance ? current : Value::none();
    });
  }

 private:
  Values items_;
  size_t at_ = 0;
};

Result<Value> cycler(Interp& in, Args& args) {
  if (args.positional.empty()) return runtime_error("RuntimeError: at least one item has to be provided");
  LAHAR_TRY(in.charge(args.positional.size()));
  Value out = Value::of(Kind::kObject, std::make_shared<Cycler>(args.positional));
  LAHAR_TRY(check_shape(out));
  return out;
}

Result<Value> joiner(Interp&, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "joiner", {"sep"}, 0));
  const Value separator = a[0].missing() ? Value::string(", ") : a[0];
  Value out = native("joiner", separator.depth(),
                     [separator, used = std::make_shared<bool>(false)](Interp&, Args&) -> Result<Value> {
                       if (*used) return separator;
                       *used = true;
                       return Value::string("");
                     });
  LAHAR_TRY(check_shape(out));
  return out;
}

Result<Value> lipsum(Interp&, Args&) {
  return runtime_error("TemplateRuntimeError: lipsum is not supported in chat templates");
}

Result<Value> raise_exception(Interp& in, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "raise_exception", {"message"}, 1));
  LAHAR_ASSIGN(const Text message, in.str(a[0]));
  in.mark_raised();
  return runtime_error(message.bytes());
}

Result<Value> strftime_now(Interp& in, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "strftime_now", {"format"}, 1));
  LAHAR_ASSIGN(const Text format, text_argument(a[0], "strftime() argument 1"));
  LAHAR_TRY(in.charge_bytes(format.size() * 4));
  return in.make_string(Text(format_time(format.view(), in.now()), format.all_trusted()));
}

using Function = Result<Value> (*)(Interp&, Args&);

class Builtin : public CallableObj {
 public:
  Builtin(const char* name, bool is_class, Function function) : name_(name), class_(is_class), function_(function) {}
  Result<Value> call(Interp& in, Args& args) const override { return function_(in, args); }
  std::string describe() const override {
    return std::string(class_ ? "<class '" : "<function ") + name_ + (class_ ? "'>" : ">");
  }
  const char* type_name() const override { return class_ ? "type" : "function"; }

 private:
  const char* name_;
  bool class_;
  Function function_;
};

}  // namespace

Value builtin_function(std::string_view name) {
  struct Entry {
    const char* name;
    const char* shown;
    bool is_class;
    Function function;
  };
  static constexpr Entry kFunctions[] = {{"range", "safe_range", false, range},
                                         {"dict", "dict", true, dict},
                                         {"namespace", "jinja2.utils.Namespace", true, make_namespace},
                                         {"cycler", "jinja2.utils.Cycler", true, cycler},
                                         {"joiner", "jinja2.utils.Joiner", true, joiner},
                                         {"lipsum", "generate_lorem_ipsum", false, lipsum},
                                         {"raise_exception", "raise_exception", false, raise_exception},
                                         {"strftime_now", "strftime_now", false, strftime_now}};
  for (const Entry& entry : kFunctions) {
    if (entry.name == name) {
      return Value::of(Kind::kCallable, std::make_shared<Builtin>(entry.shown, entry.is_class, entry.function));
    }
  }
  return {};
}

}  // namespace lahar::jinja
