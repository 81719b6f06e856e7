// Reads JavaScript values with messages that name the place: "program.tensors[3].shape[0]: expected a whole number".
#pragma once

#include <napi.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "../core/error.h"

namespace lorikeet::binding {

class Reader {
 public:
  // `name` must outlive the reader; so must the reader that another one was taken from.
  Reader(Napi::Value value, const char* name) : value_(value), name_(name) {}

  Napi::Value value() const { return value_; }
  bool absent() const { return value_.IsUndefined() || value_.IsNull(); }

  Reader field(const char* name) const;                // may be absent
  std::vector<Reader> items() const;                   // of an array
  std::vector<std::pair<std::string, Reader>> entries() const;  // own enumerable properties of an object

  std::string text() const;
  double number() const;
  int64_t integer() const;  // a whole number, exactly representable
  int64_t integer(int64_t low, int64_t high) const;
  bool boolean() const;
  Napi::Function function() const;
  std::vector<int64_t> integers() const;

  [[noreturn]] void expected(const char* what) const;
  std::string path() const;

 private:
  Reader(const Reader* parent, Napi::Value value, const char* name, int64_t index)
      : value_(value), parent_(parent), name_(name), index_(index) {}
  void require_object() const;

  Napi::Value value_;
  const Reader* parent_ = nullptr;
  const char* name_ = nullptr;  // null: the element `index_` of the parent
  int64_t index_ = 0;
  std::string own_name_;  // of an entry, whose name nobody else keeps
};

}  // namespace lorikeet::binding
