#include "text/jinja/loop.h"

namespace lahar::jinja {

Status LoopObject::pull(Interp& in, Value& item) {
  if (buffer_at_ < buffered_.size()) {
    item = buffered_[buffer_at_++];
    return {};
  }
  return cursor_.next(in, item);
}

Status LoopObject::peek(Interp& in) {
  if (peeked_) return {};
  LAHAR_TRY(pull(in, after_));
  peeked_ = true;
  return {};
}

Status LoopObject::advance(Interp& in, Value& item) {
  if (peeked_) {
    item = std::move(after_);
    after_ = Value();
    peeked_ = false;
  } else {
    LAHAR_TRY(pull(in, item));
  }
  if (item.missing()) return {};
  ++index0_;
  before_ = std::move(current_);
  current_ = item;
  return {};
}

void LoopObject::finish() {
  cursor_ = Cursor();
  buffered_.clear();
  before_ = current_ = after_ = Value();
  peeked_ = true;
  last_changed_.reset();
  around_.reset();
}

Status LoopObject::find_length(Interp& in) {
  if (length_) return {};
  std::vector<Value> rest;
  while (true) {
    Value item;
    LAHAR_TRY(pull(in, item));
    if (item.missing()) break;
    LAHAR_TRY(in.check_items(rest.size() + 1));
    rest.push_back(std::move(item));
  }
  length_ = rest.size() + static_cast<size_t>(index0_ + 1) + (peeked_ && !after_.missing() ? 1 : 0);
  buffered_ = std::move(rest);
  buffer_at_ = 0;
  return {};
}

Result<Value> LoopObject::attribute(Interp& in, const Value& self, std::string_view name) {
  if (name == "index0") return Value::integer(index0_);
  if (name == "index") return Value::integer(index0_ + 1);
  if (name == "first") return Value::boolean(index0_ == 0);
  if (name == "depth0") return Value::integer(depth0_);
  if (name == "depth") return Value::integer(depth0_ + 1);
  if (name == "last" || name == "nextitem") {
    LAHAR_TRY(peek(in));
    if (name == "last") return Value::boolean(after_.missing());
    return after_.missing() ? Value::undefined("there is no next item") : after_;
  }
  if (name == "previtem") {
    return index0_ == 0 || before_.missing() ? Value::undefined("there is no previous item") : before_;
  }
  if (name == "length" || name == "revindex" || name == "revindex0") {
    LAHAR_TRY(find_length(in));
    const auto length = static_cast<int64_t>(*length_);
    return Value::integer(name == "length" ? length : name == "revindex" ? length - index0_ : length - index0_ - 1);
  }
  if (name == "cycle") {
    return native("cycle", 0, [self, this](Interp&, Args& args) -> Result<Value> {
      if (args.positional.empty()) return type_error("no items for cycling given");
      return args.positional[static_cast<size_t>(index0_ < 0 ? 0 : index0_) % args.positional.size()];
    });
  }
  if (name == "changed") {
    return native("changed", 0, [self, this](Interp& interp, Args& args) -> Result<Value> {
      bool same = last_changed_ && last_changed_->size() == args.positional.size();
      for (size_t i = 0; same && i < args.positional.size(); ++i) {
        LAHAR_ASSIGN(same, interp.equals((*last_changed_)[i], args.positional[i]));
      }
      if (!same) last_changed_ = args.positional;
      return Value::boolean(!same);
    });
  }
  return Value();
}

Result<Value> LoopObject::call(Interp& in, Args& args) {
  if (node_ == nullptr || !around_) {
    return type_error("The loop must have the 'recursive' marker to be called recursively.");
  }
  LAHAR_ASSIGN(const std::vector<Value> bound, bind(args, "loop", {"iterable"}, 1));
  return in.call_loop(*node_, around_, bound[0], depth0_ + 1);
}

}  // namespace lahar::jinja
