#include "serve/http_stream.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "base/file.h"

namespace tern::serve {
namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

template <class Socket>
Task<Transfer> ReadFrom(Socket& socket, asio::mutable_buffer buffer) {
  Transfer transfer;
  transfer.bytes =
      co_await socket.async_read_some(buffer, asio::redirect_error(asio::use_awaitable, transfer.error));
  co_return transfer;
}

template <class Socket>
Task<Transfer> WriteTo(Socket& socket, asio::const_buffer buffer) {
  Transfer transfer;
  transfer.bytes =
      co_await socket.async_write_some(buffer, asio::redirect_error(asio::use_awaitable, transfer.error));
  co_return transfer;
}

class BareStream final : public Stream {
 public:
  explicit BareStream(tcp::socket socket) : socket_(std::move(socket)) {
    error_code ignored;
    socket_.non_blocking(true, ignored);
  }

  Task<error_code> Handshake() override { co_return error_code(); }
  Task<Transfer> Read(asio::mutable_buffer buffer) override { return ReadFrom(socket_, buffer); }
  Task<Transfer> Write(asio::const_buffer buffer) override { return WriteTo(socket_, buffer); }
  size_t TryWrite(asio::const_buffer buffer) override {
    error_code ignored;
    return socket_.write_some(buffer, ignored);
  }
  Task<void> Shutdown() override {
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    co_return;
  }
  void Close() override {
    error_code ignored;
    socket_.close(ignored);
  }

 private:
  tcp::socket socket_;
};

class TlsStream final : public Stream {
 public:
  TlsStream(tcp::socket socket, TlsContext context)
      : context_(std::move(context)), stream_(std::move(socket), *context_) {}

  Task<error_code> Handshake() override {
    error_code error;
    co_await stream_.async_handshake(asio::ssl::stream_base::server,
                                     asio::redirect_error(asio::use_awaitable, error));
    co_return error;
  }
  Task<Transfer> Read(asio::mutable_buffer buffer) override { return ReadFrom(stream_, buffer); }
  Task<Transfer> Write(asio::const_buffer buffer) override { return WriteTo(stream_, buffer); }
  size_t TryWrite(asio::const_buffer) override { return 0; }
  Task<void> Shutdown() override {
    error_code ignored;
    co_await stream_.async_shutdown(asio::redirect_error(asio::use_awaitable, ignored));
  }
  void Close() override {
    error_code ignored;
    stream_.lowest_layer().close(ignored);
  }

 private:
  TlsContext context_;
  asio::ssl::stream<tcp::socket> stream_;
};

Status TlsError(const std::string& file, const std::string& what, const error_code& error) {
  return InvalidArgument(file + ": " + what + ": " + error.message());
}

}  // namespace

Result<TlsContext> MakeTlsContext(const std::string& certificate_file, const std::string& key_file) {
  // Read here first: OpenSSL's words for a missing file are no help.
  for (const std::string& file : {certificate_file, key_file}) {
    TERN_RETURN_IF_ERROR(ReadFileToString(file, uint64_t{1} << 20).status());
  }
  const auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
  error_code error;
  context->set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                           asio::ssl::context::no_tlsv1_1 | asio::ssl::context::single_dh_use,
                       error);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  SSL_CTX_set_options(context->native_handle(), SSL_OP_NO_RENEGOTIATION);
  // A buffer only while something is in it: thousands of idle connections.
  SSL_CTX_set_mode(context->native_handle(), SSL_MODE_RELEASE_BUFFERS);
  // Without this OpenSSL would ask at the terminal.
  context->set_password_callback([](size_t, asio::ssl::context::password_purpose) { return std::string(); },
                                 error);
  context->use_certificate_chain_file(certificate_file, error);
  if (error) return TlsError(certificate_file, "no certificate chain in PEM form", error);
  context->use_private_key_file(key_file, asio::ssl::context::pem, error);
  if (error)
    return TlsError(key_file, "no key in PEM form, without a password, for " + certificate_file, error);
  return context;
}

std::unique_ptr<Stream> MakeStream(tcp::socket socket, const TlsContext& tls) {
  if (tls == nullptr) return std::make_unique<BareStream>(std::move(socket));
  return std::make_unique<TlsStream>(std::move(socket), tls);
}

}  // namespace tern::serve
