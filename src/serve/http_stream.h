// The two kinds of connection: a bare socket, or TLS over one.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>

#include "base/status.h"
#include "serve/http.h"

namespace boost::asio::ssl {
class context;
}

namespace tern::serve {

struct Transfer {
  boost::system::error_code error = {};
  size_t bytes = 0;
};

/// All calls on the strand of the socket. One Read and one Write may be under way together.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual Task<boost::system::error_code> Handshake() = 0;
  /// At least one byte, or an error (the end of the stream is one).
  virtual Task<Transfer> Read(boost::asio::mutable_buffer buffer) = 0;
  virtual Task<Transfer> Write(boost::asio::const_buffer buffer) = 0;
  /// Writes what can be written without waiting: perhaps nothing. Errors show at the next Write. No Write may
  /// be under way.
  virtual size_t TryWrite(boost::asio::const_buffer buffer) = 0;
  /// Says that nothing more will be written.
  virtual Task<void> Shutdown() = 0;
  /// Ends everything that is under way.
  virtual void Close() = 0;
};

/// What TLS needs, shared by all connections.
using TlsContext = std::shared_ptr<boost::asio::ssl::context>;

/// Reads a certificate chain and its key (PEM, no password). TLS 1.2 and later. Errors name the file.
Result<TlsContext> MakeTlsContext(const std::string& certificate_file, const std::string& key_file);

/// `tls` null: a bare socket.
std::unique_ptr<Stream> MakeStream(boost::asio::ip::tcp::socket socket, const TlsContext& tls);

}  // namespace tern::serve
