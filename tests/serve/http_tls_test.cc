// The same server behind TLS, with a certificate made for the test.
#include <gmock/gmock.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstdio>
#include <filesystem>

#include "tests/serve/http_testing.h"
#include "tests/testing/test_data.h"

namespace tern::serve {
namespace {

using std::chrono::milliseconds;
using testing::Client;
using ::testing::HasSubstr;
using testing::TestServer;

struct Files {
  std::string certificate, key;
};

/// A key and a certificate that it signs itself.
Files MakeCertificate(const testing::TempDir& dir, const std::string& name) {
  const Files files = {dir.File(name + ".crt"), dir.File(name + ".key")};
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"),
                             -1, -1, 0);
  X509_set_issuer_name(certificate, subject);
  X509_sign(certificate, key, EVP_sha256());
  std::FILE* file = std::fopen(files.certificate.c_str(), "w");
  PEM_write_X509(file, certificate);
  std::fclose(file);
  file = std::fopen(files.key.c_str(), "w");
  PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return files;
}

HttpOptions OptionsWith(const Files& files) {
  HttpOptions options;
  options.certificate_file = files.certificate;
  options.key_file = files.key;
  return options;
}

/// A TLS client that trusts everybody.
class TlsClient {
 public:
  explicit TlsClient(uint16_t port, int version = 0)
      : client_(port), context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_security_level(context_, 0);  // so that old versions are ours to offer
    SSL_CTX_set_min_proto_version(context_, TLS1_VERSION);
    if (version != 0) SSL_CTX_set_max_proto_version(context_, version);
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, client_.fd());
    connected_ = SSL_connect(ssl_) == 1;
  }
  ~TlsClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  bool connected() const { return connected_; }
  int version() const { return SSL_version(ssl_); }
  /// The server's, as bytes.
  std::string certificate() const {
    X509* const certificate = SSL_get1_peer_certificate(ssl_);
    unsigned char* bytes = nullptr;
    const int size = i2d_X509(certificate, &bytes);
    std::string text(reinterpret_cast<char*>(bytes), size > 0 ? static_cast<size_t>(size) : 0);
    OPENSSL_free(bytes);
    X509_free(certificate);
    return text;
  }
  void Send(const std::string& bytes) { SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())); }
  std::string ReadUntil(const std::string& text) {
    char piece[4096];
    while (in_.find(text) == std::string::npos) {
      const int got = SSL_read(ssl_, piece, sizeof piece);
      if (got <= 0) break;
      in_.append(piece, static_cast<size_t>(got));
    }
    return std::exchange(in_, {});
  }
  /// Nothing more comes, and the server says so itself (no truncation).
  bool EndsProperly() {
    char byte;
    const int got = SSL_read(ssl_, &byte, 1);
    return got <= 0 && SSL_get_error(ssl_, got) == SSL_ERROR_ZERO_RETURN;
  }
  void Vanish() { client_.Abort(); }

 private:
  Client client_;
  SSL_CTX* context_;
  SSL* ssl_;
  bool connected_ = false;
  std::string in_;
};

TEST(HttpTls, AnswersKeepsConnectionsAndEndsThemProperly) {
  const testing::TempDir dir;
  TestServer server(OptionsWith(MakeCertificate(dir, "good")));
  EXPECT_THAT(server->url(), HasSubstr("https://127.0.0.1:"));
  TlsClient client(server->port());
  ASSERT_TRUE(client.connected());
  EXPECT_EQ(client.version(), TLS1_3_VERSION);
  client.Send(TestServer::Get("/hello") + TestServer::Get("/stream/3"));
  EXPECT_THAT(client.ReadUntil("0\r\n\r\n"), ::testing::AllOf(HasSubstr("hello"), HasSubstr("2;")));
  const std::string body(300'000, 'b');
  client.Send(TestServer::Post("/echo", body, "Connection: close\r\n"));
  EXPECT_THAT(client.ReadUntil(body), HasSubstr(body));
  EXPECT_TRUE(client.EndsProperly());
}

TEST(HttpTls, SpeaksModernVersionsOnly) {
  const testing::TempDir dir;
  TestServer server(OptionsWith(MakeCertificate(dir, "good")));
  TlsClient modern(server->port(), TLS1_2_VERSION);
  EXPECT_TRUE(modern.connected());
  TlsClient old(server->port(), TLS1_1_VERSION);
  EXPECT_FALSE(old.connected());
}

TEST(HttpTls, SurvivesClientsThatSpeakSomethingElse) {
  const testing::TempDir dir;
  HttpOptions options = OptionsWith(MakeCertificate(dir, "good"));
  options.header_timeout = milliseconds(200);
  TestServer server(options);
  Client plain = server.Connect();
  plain.Send(TestServer::Get("/hello"));
  plain.ReadToEnd();
  Client silent = server.Connect();
  EXPECT_TRUE(silent.IsClosed());  // no handshake in time
  TlsClient vanishing(server->port());
  vanishing.Send(TestServer::Post("/wait", "x"));
  ASSERT_TRUE(server.waiting.Reaches(1));
  vanishing.Vanish();
  EXPECT_TRUE(server.ended.Reaches(1));
  TlsClient client(server->port());
  client.Send(TestServer::Get("/hello"));
  EXPECT_THAT(client.ReadUntil("hello"), HasSubstr("200 OK"));
  server->Stop(milliseconds(5000));
  EXPECT_EQ(server->stats().connections, 0);
}

TEST(HttpTls, RenewsItsCertificate) {
  const testing::TempDir dir;
  const Files files = MakeCertificate(dir, "good");
  TestServer server(OptionsWith(files));
  TlsClient before(server->port());
  const std::string first = before.certificate();
  EXPECT_NE(first, "");
  const Files other = MakeCertificate(dir, "other");
  const auto replace = [](const std::string& file, const std::string& by) {
    std::filesystem::copy_file(by, file, std::filesystem::copy_options::overwrite_existing);
  };
  replace(files.certificate, other.certificate);  // but not yet the key
  EXPECT_THAT(server->Renew({}).message(), HasSubstr("good.key"));
  EXPECT_EQ(TlsClient(server->port()).certificate(), first);
  replace(files.key, other.key);
  const Status renewed = server->Renew({});
  EXPECT_TRUE(renewed.ok()) << renewed.message();
  TlsClient after(server->port());
  EXPECT_NE(after.certificate(), first);
  for (TlsClient* client : {&before, &after}) {  // both are served
    client->Send(TestServer::Get("/hello"));
    EXPECT_THAT(client->ReadUntil("hello"), HasSubstr("200 OK"));
  }
  EXPECT_FALSE(server->Renew({.users = {"a-key-out-of-nowhere"}}).ok());
}

TEST(HttpTls, ErrorsNameTheFile) {
  const testing::TempDir dir;
  const Files good = MakeCertificate(dir, "good"), other = MakeCertificate(dir, "other");
  const auto failure = [](const Files& files) {
    const auto server = HttpServer::Start(OptionsWith(files), {}, nullptr);
    return server.ok() ? std::string() : server.status().message();
  };
  EXPECT_THAT(failure({dir.File("none.crt"), good.key}), HasSubstr("none.crt"));
  EXPECT_THAT(failure({good.certificate, dir.File("none.key")}), HasSubstr("none.key"));
  EXPECT_THAT(failure({good.key, good.key}), HasSubstr("good.key"));
  EXPECT_THAT(failure({good.certificate, good.certificate}), HasSubstr("good.crt"));
  EXPECT_THAT(failure({good.certificate, other.key}), HasSubstr("other.key"));
  EXPECT_THAT(failure({good.certificate, ""}), HasSubstr("key"));
}

}  // namespace
}  // namespace tern::serve
