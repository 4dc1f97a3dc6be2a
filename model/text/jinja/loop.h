// The `loop` variable of a for statement.
#pragma once

#include <optional>

#include "text/jinja/interp.h"

namespace lahar::jinja {

class LoopObject : public ObjectBase {
 public:
  // node and around: for a recursive loop, what loop(...) runs; null otherwise.
  LoopObject(Cursor cursor, int64_t depth, const Stmt* node, ScopePtr around)
      : cursor_(std::move(cursor)), length_(cursor_.length()), depth0_(depth), node_(node), around_(std::move(around)) {}

  Status advance(Interp& in, Value& item);  // leaves `item` missing at the end
  void finish();                            // drops what it holds of the iteration

  Result<Value> attribute(Interp& in, const Value& self, std::string_view name) override;
  const char* type_name() const override { return "LoopContext"; }
  Result<Value> call(Interp& in, Args& args) override;

 private:
  Status peek(Interp& in);
  Status find_length(Interp& in);
  Status pull(Interp& in, Value& item);

  Cursor cursor_;
  std::vector<Value> buffered_;  // what finding the length read ahead
  size_t buffer_at_ = 0;
  std::optional<size_t> length_;
  int64_t index0_ = -1;
  int64_t depth0_;
  Value before_, current_, after_;
  bool peeked_ = false;
  std::optional<std::vector<Value>> last_changed_;
  const Stmt* node_;
  ScopePtr around_;
};

}  // namespace lahar::jinja
