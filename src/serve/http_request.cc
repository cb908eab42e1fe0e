#include "serve/http_request.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>

#include "serve/http_text.h"

namespace tern::serve {
namespace http = boost::beast::http;
using boost::beast::string_view;
using BeastError = boost::beast::error_code;

namespace {

constexpr size_t kShortestChunked = 5;

std::string_view View(string_view text) { return {text.data(), text.size()}; }

}  // namespace

// Beast knows HTTP's grammar; what follows here are the refusals that keep a proxy in front and this server
// from ever seeing two different requests in the same bytes.
class RequestParser::Impl final : public http::basic_parser<true> {
 public:
  Impl(size_t max_header_bytes, size_t max_body_bytes) : max_header_bytes_(max_header_bytes) {
    header_limit(static_cast<uint32_t>(std::min<size_t>(max_header_bytes, UINT32_MAX)));
    body_limit(max_body_bytes);
  }

  Progress Feed(std::string_view bytes, size_t* consumed);
  ParsedRequest& parsed() { return parsed_; }
  const ApiError& error() const { return error_; }

 private:
  Progress Fail(int status, std::string message) {
    error_ = {.status = status, .message = std::move(message)};
    failed_ = true;
    return Progress::kFailed;
  }
  Progress FailAs(BeastError code);
  /// From within a callback: our own reason, and some error that makes Beast stop.
  void Refuse(BeastError& code, int status, std::string message) {
    (void)Fail(status, std::move(message));
    code = http::error::bad_value;
  }
  void CheckHead(BeastError& code);

  void on_request_impl(http::verb, string_view method, string_view target, int version,
                       BeastError& code) override;
  void on_field_impl(http::field, string_view name, string_view value, BeastError& code) override;
  void on_header_impl(BeastError& code) override { CheckHead(code); }
  void on_body_init_impl(const boost::optional<uint64_t>&, BeastError&) override {}
  size_t on_body_impl(string_view body, BeastError&) override {
    parsed_.request.body.append(body.data(), body.size());
    return body.size();
  }
  void on_chunk_header_impl(uint64_t, string_view, BeastError&) override { chunk_seen_ = true; }
  size_t on_chunk_body_impl(uint64_t, string_view body, BeastError& code) override {
    return on_body_impl(body, code);
  }
  void on_finish_impl(BeastError&) override {}
  void on_response_impl(int, string_view, int, BeastError&) override {}

  size_t max_header_bytes_, head_bytes_ = 0;
  ParsedRequest parsed_;
  ApiError error_;
  bool in_fields_ = false;  // the request line is done
  bool head_told_ = false, chunk_seen_ = false, failed_ = false;
  int hosts_ = 0, lengths_ = 0, encodings_ = 0;
};

RequestParser::Progress RequestParser::Impl::Feed(std::string_view bytes, size_t* consumed) {
  *consumed = 0;
  if (failed_) return Progress::kFailed;
  // Beast asserts that it never sees the last chunk's line ("0\r\n") without the empty line after it, but
  // only a chunk before it makes that so. No body in chunks is shorter than both together.
  if (head_told_ && chunked() && !chunk_seen_ && bytes.size() < kShortestChunked) return Progress::kNeedMore;
  if (!is_done() && !bytes.empty()) {
    BeastError code;
    *consumed = put({bytes.data(), bytes.size()}, code);
    if (failed_) return Progress::kFailed;
    if (code && code != http::error::need_more) return FailAs(code);
    if (!head_told_) {
      // Beast forgets what it has read of a head; a client that dribbles fields must meet the limit all the
      // same.
      head_bytes_ += *consumed;
      const size_t looked_at = head_bytes_ + (is_header_done() ? 0 : bytes.size() - *consumed);
      if (looked_at > max_header_bytes_) return FailAs(http::error::header_limit);
    }
  }
  if (!is_header_done()) return Progress::kNeedMore;
  if (!head_told_) {
    head_told_ = true;
    parsed_.has_body = !is_done();
    eager(true);  // from now on as much as there is
    return Progress::kHead;
  }
  if (is_done()) return Progress::kDone;
  // What Beast cannot yet use of a body is a chunk's line or the fields after the last chunk: never long.
  if (bytes.size() - *consumed > max_header_bytes_) return Fail(400, "a chunk's head is too long");
  return Progress::kNeedMore;
}

RequestParser::Progress RequestParser::Impl::FailAs(BeastError code) {
  if (code == http::error::header_limit) {
    const std::string most = std::to_string(max_header_bytes_) + " bytes";
    return in_fields_ ? Fail(431, "the request's header fields are longer than " + most)
                      : Fail(414, "the request's address is longer than " + most);
  }
  if (code == http::error::body_limit) return Fail(413, "the request's body is too large");
  if (code == http::error::bad_version) return Fail(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
  return Fail(400, "not a sound HTTP request: " + code.message());
}

void RequestParser::Impl::on_request_impl(http::verb, string_view method, string_view target, int version,
                                          BeastError& code) {
  in_fields_ = true;
  parsed_.version = version;
  parsed_.request.method = View(method);
  Result<RequestTarget> parsed = ParseTarget(View(target));
  if (!parsed.ok()) return Refuse(code, 400, parsed.status().message());
  if (!parsed->authority.empty())
    parsed_.request.headers.emplace_back(kAuthorityField, std::move(parsed->authority));
  parsed_.request.path = std::move(parsed->path);
  parsed_.request.query = std::move(parsed->query);
  parsed_.segments = std::move(parsed->segments);
}

void RequestParser::Impl::on_field_impl(http::field field, string_view name, string_view value,
                                        BeastError& code) {
  if (head_told_) return;  // fields after a chunked body: nobody needs them
  switch (field) {
    case http::field::host:
      ++hosts_;
      break;
    case http::field::content_length:
      // Equal lengths in two places are legal and still nobody's honest request.
      if (++lengths_ > 1 || value.find(',') != string_view::npos) {
        return Refuse(code, 400, "more than one Content-Length");
      }
      break;
    case http::field::content_encoding:
      if (LowerAscii(View(value)) != "identity") {
        return Refuse(code, 415, "bodies are taken without Content-Encoding only: send it uncompressed");
      }
      break;
    case http::field::transfer_encoding:
      if (++encodings_ > 1 || LowerAscii(View(value)) != "chunked") {
        return Refuse(code, 501, "the only Transfer-Encoding known here is 'chunked'");
      }
      break;
    case http::field::expect:
      if (LowerAscii(View(value)) != "100-continue") {
        return Refuse(code, 417, "the only expectation known here is '100-continue'");
      }
      parsed_.expects_continue = parsed_.version >= 11;
      break;
    default:
      break;
  }
  parsed_.request.headers.emplace_back(LowerAscii(View(name)), View(value));
}

void RequestParser::Impl::CheckHead(BeastError& code) {
  if (hosts_ > 1 || (hosts_ == 0 && parsed_.version >= 11)) {
    return Refuse(code, 400, "a request has exactly one Host");
  }
  if (encodings_ > 0 && parsed_.version < 11) {
    return Refuse(code, 400, "HTTP/1.0 has no Transfer-Encoding");
  }
  parsed_.keep_alive = keep_alive();
}

RequestParser::RequestParser(size_t max_header_bytes, size_t max_body_bytes)
    : impl_(std::make_unique<Impl>(max_header_bytes, max_body_bytes)) {}
RequestParser::~RequestParser() = default;
RequestParser::Progress RequestParser::Feed(std::string_view bytes, size_t* consumed) {
  return impl_->Feed(bytes, consumed);
}
ParsedRequest& RequestParser::parsed() { return impl_->parsed(); }
const ApiError& RequestParser::error() const { return impl_->error(); }

}  // namespace tern::serve
