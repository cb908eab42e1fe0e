// Errors as values. Libraries never abort, throw or exit: a function that can fail returns Status or Result<T>,
// and its message names the file, the tensor, what was found and what was expected.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace tern {

enum class StatusCode : uint8_t {
  kOk = 0,
  kInvalidArgument,  ///< the caller asked for something that makes no sense
  kNotFound,         ///< a file, tensor or option that is not there
  kCorrupt,          ///< data that contradicts its own format
  kUnsupported,      ///< well-formed, but nothing Tern can do with it
  kIo,               ///< the operating system refused: errno's text is in the message
  kExhausted,        ///< out of memory, disk or another bounded resource
  kCancelled,        ///< stopped on request
  kUnavailable,      ///< not now (full, stopping, gone): trying again later may work
};

/// Success, or a code with a message for a person. Cheap to return; thread-compatible.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

  /// The same error, its message prefixed with `context` and ": " (nothing changes on success).
  Status WithContext(const std::string& context) const {
    return ok() ? *this : Status(code_, context + ": " + message_);
  }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

inline Status OkStatus() { return {}; }
inline Status InvalidArgument(std::string m) { return {StatusCode::kInvalidArgument, std::move(m)}; }
inline Status NotFound(std::string m) { return {StatusCode::kNotFound, std::move(m)}; }
inline Status Corrupt(std::string m) { return {StatusCode::kCorrupt, std::move(m)}; }
inline Status Unsupported(std::string m) { return {StatusCode::kUnsupported, std::move(m)}; }
inline Status IoError(std::string m) { return {StatusCode::kIo, std::move(m)}; }
inline Status Exhausted(std::string m) { return {StatusCode::kExhausted, std::move(m)}; }
inline Status Cancelled(std::string m) { return {StatusCode::kCancelled, std::move(m)}; }
inline Status Unavailable(std::string m) { return {StatusCode::kUnavailable, std::move(m)}; }

/// A value or the Status that says why there is none. `*result` on an error is a programming mistake. Rooms whose
/// errors are more than a Status (an answer of HTTP) name their own type.
template <typename T, typename Error = Status>
class [[nodiscard]] Result {
 public:
  Result(T value) : data_(std::in_place_index<1>, std::move(value)) {}      // NOLINT: implicit
  Result(Error error) : data_(std::in_place_index<0>, std::move(error)) {}  // NOLINT: implicit

  bool ok() const { return data_.index() == 1; }
  Error status() const { return ok() ? Error() : std::get<0>(data_); }

  T& operator*() & { return std::get<1>(data_); }
  const T& operator*() const& { return std::get<1>(data_); }
  T&& operator*() && { return std::get<1>(std::move(data_)); }
  T* operator->() { return &std::get<1>(data_); }
  const T* operator->() const { return &std::get<1>(data_); }

 private:
  std::variant<Error, T> data_;
};

#define TERN_CONCAT_INNER(a, b) a##b
#define TERN_CONCAT(a, b) TERN_CONCAT_INNER(a, b)

/// Returns from the enclosing function when `expr` (a Status) is an error.
#define TERN_RETURN_IF_ERROR(expr)               \
  do {                                           \
    ::tern::Status tern_status_ = (expr);        \
    if (!tern_status_.ok()) return tern_status_; \
  } while (false)

/// TERN_ASSIGN_OR_RETURN(auto x, MakeX()): x takes the value, or the function returns the error (of any type).
#define TERN_ASSIGN_OR_RETURN(lhs, expr) TERN_ASSIGN_OR_RETURN_(TERN_CONCAT(tern_result_, __LINE__), lhs, expr)
#define TERN_ASSIGN_OR_RETURN_(result, lhs, expr) \
  auto result = (expr);                           \
  if (!result.ok()) return result.status();       \
  lhs = std::move(*result)

}  // namespace tern
