// tern serve: models as a service.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iostream>
#include <thread>

#include "base/log.h"
#include "base/parallel.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/numbers.h"
#include "serve/api_keys.h"
#include "serve/http_origin.h"
#include "serve/service.h"

namespace tern {
namespace {

struct ServeArguments {
  std::vector<std::string> models, states_in;
  ModelOptions model;  ///< what holds for all of them
  serve::HttpOptions http;
  serve::HostOptions host;
  std::string api_keys, admin_keys, access_log, page_folder;
  double state_memory_gb = 1, state_disk_gb = 8;
  int grace_seconds = 30;
};

constexpr double kGigabyte = 1e9, kMostGigabytes = 1e9;

/// NAME=FILE; an empty name where there is FILE alone.
std::pair<std::string, std::string> SplitName(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || text.find('/') < equals) return {"", text};
  return {text.substr(0, equals), text.substr(equals + 1)};
}

/// NAME=FILE, or FILE alone: its name without the ending.
serve::ModelSource ParseModel(const std::string& text) {
  const auto [name, path] = SplitName(text);
  return {path == text ? std::filesystem::path(text).stem().string() : name, path, {}};
}

/// Gives the models the start states of --state-in.
Status AddStartStates(const std::vector<std::string>& states_in, std::vector<serve::ModelSource>* sources) {
  for (const std::string& text : states_in) {
    const auto [name, path] = SplitName(text);
    if (name.empty() && (path != text || sources->size() > 1)) {
      return InvalidArgument(fmt::format("--state-in {}: for which model? Give NAME=FILE", text));
    }
    const auto source = std::find_if(
        sources->begin(), sources->end(),
        [&name = name](const serve::ModelSource& one) { return name.empty() || one.name == name; });
    if (source == sources->end())
      return InvalidArgument(fmt::format("--state-in {}: no model has that name", text));
    if (path.empty()) return InvalidArgument(fmt::format("--state-in {}: expected NAME=FILE or FILE", text));
    if (!source->state_in.empty()) {
      return InvalidArgument(fmt::format("--state-in: two states for the model '{}'", source->name));
    }
    source->state_in = path;
  }
  return OkStatus();
}

Result<std::vector<serve::ModelSource>> ModelSources(const ServeArguments& options) {
  std::vector<std::string> given = options.models;
  if (given.empty()) {
    TERN_ASSIGN_OR_RETURN(const std::string path, ModelPath(""));
    given = {path};
  }
  std::vector<serve::ModelSource> sources;
  for (const std::string& text : given) {
    serve::ModelSource source = ParseModel(text);
    if (source.name.empty() || source.path.empty()) {
      return InvalidArgument(fmt::format("--model: expected NAME=FILE or FILE, got '{}'", text));
    }
    for (const serve::ModelSource& other : sources) {
      if (other.name != source.name) continue;
      return InvalidArgument(fmt::format("--model: two models are named '{}': give NAME=FILE", source.name));
    }
    sources.push_back(std::move(source));
  }
  TERN_RETURN_IF_ERROR(AddStartStates(options.states_in, &sources));
  return sources;
}

/// Adds the keys of a file ("": none) and of an environment variable.
Status AddKeys(const std::string& file, const char* variable, serve::KeyClass plain, serve::ApiKeys* keys) {
  if (!file.empty()) {
    TERN_ASSIGN_OR_RETURN(const serve::ApiKeys more, serve::ReadApiKeys(file, plain));
    keys->Add(more);
  }
  const char* value = std::getenv(variable);
  if (value != nullptr && *value != '\0') {
    TERN_ASSIGN_OR_RETURN(const serve::ApiKeys more, serve::ParseApiKeys(value, variable, plain));
    keys->Add(more);
  }
  return OkStatus();
}

/// From the options and the environment; none is fine.
Result<serve::ApiKeys> FindApiKeys(const ServeArguments& options) {
  using serve::KeyClass;
  serve::ApiKeys keys;
  TERN_RETURN_IF_ERROR(AddKeys(options.api_keys, "TERN_API_KEYS", KeyClass::kUser, &keys));
  TERN_RETURN_IF_ERROR(AddKeys(options.admin_keys, "TERN_ADMIN_KEYS", KeyClass::kAdmin, &keys));
  return keys;
}

serve::ModelLoader Loader(const ModelOptions& options) {
  return [options](const serve::ModelSource& source) -> Result<serve::ModelFiles> {
    ModelOptions one = options;
    one.model = source.path;
    one.state_in = source.state_in;
    one.threads = 0;  // set once for all, and not while another model computes
    TERN_ASSIGN_OR_RETURN(LoadedModel loaded, LoadModelAndTokenizer(one));
    return serve::ModelFiles{std::move(loaded.model), std::move(loaded.tokenizer)};
  };
}

/// Appends lines to a file, or writes them on standard error; "": nothing.
Result<serve::AccessLog> OpenAccessLog(const std::string& path) {
  if (path.empty()) return serve::AccessLog();
  std::FILE* file = path == "-" ? stderr : std::fopen(path.c_str(), "ae");
  if (file == nullptr) return IoError(fmt::format("cannot write to '{}': {}", path, std::strerror(errno)));
  // Whole lines at once: fwrite locks the stream. It stays open as long as the program runs.
  return serve::AccessLog([file](std::string_view line) {
    const std::string whole = std::string(line) + "\n";
    std::fwrite(whole.data(), 1, whole.size(), file);
    std::fflush(file);
  });
}

/// Signals to the service, blocked in this thread and all that it starts, so that WaitForEnd gets them.
class Signals {
 public:
  Signals() {
    ::sigemptyset(&set_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&set_, signal);
    ::pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
  }
  /// Returns the signal that ends the service. SIGHUP does so only where it says that the terminal which the
  /// service was started at is gone; else `renew` is called.
  int WaitForEnd(const std::function<void()>& renew) const {
    for (;;) {
      int signal = 0;
      ::sigwait(&set_, &signal);
      const bool terminal_is_gone = had_terminal_ && ::isatty(STDIN_FILENO) == 0;
      if (signal != SIGHUP || terminal_is_gone) return signal;
      renew();
    }
  }
  /// From now on the next such signal ends the program at once.
  void EndAtNext() const {
    std::thread([signals = *this] { ::_exit(128 + signals.WaitForEnd([] {})); }).detach();
  }

 private:
  sigset_t set_;
  const bool had_terminal_ = ::isatty(STDIN_FILENO) != 0;
};

/// Certificate, key and API keys as they are now.
void Renew(const ServeArguments& options, serve::HttpServer& server) {
  const auto keys = FindApiKeys(options);
  const Status renewed = keys.ok() ? server.Renew(*keys) : keys.status();
  if (renewed.ok()) {
    LogInfo("certificate and API keys were read anew");
  } else {
    LogWarning("certificate and API keys stay as they were: {}", renewed.message());
  }
}

/// Checked here: the parser's range lets nan pass.
Result<uint64_t> StateBytes(const char* option, double gigabytes) {
  if (gigabytes >= 0 && gigabytes <= kMostGigabytes) return static_cast<uint64_t>(gigabytes * kGigabyte);
  return InvalidArgument(fmt::format("{}: expected 0 to 1e9 gigabytes, got {}", option, gigabytes));
}

/// The server would refuse the same, but does not know the options.
Status CheckListening(const serve::HttpOptions& http) {
  const Status address = serve::CheckAddress(http.address);
  if (!address.ok()) return address.WithContext("--address");
  if (serve::IsLoopback(http.address) || !http.api_keys.empty() || http.allow_open) return OkStatus();
  return InvalidArgument(fmt::format(
      "--address {} would let everybody on the network use the models: give keys (--api-keys FILE "
      "or TERN_API_KEYS), or say that this is meant (--allow-open)",
      http.address));
}

Status CheckPageFolder(const std::string& folder) {
  std::error_code error;
  if (folder.empty() || std::filesystem::is_directory(folder, error)) return OkStatus();
  return InvalidArgument(fmt::format("--page-folder: there is no folder '{}'", folder));
}

Status RunServe(const ServeArguments& options) {
  const Signals signals;
  TERN_ASSIGN_OR_RETURN(auto sources, ModelSources(options));
  serve::HttpOptions http = options.http;
  TERN_ASSIGN_OR_RETURN(http.api_keys, FindApiKeys(options));
  serve::HostOptions host = options.host;
  TERN_ASSIGN_OR_RETURN(host.states.memory_bytes, StateBytes("--state-memory", options.state_memory_gb));
  TERN_ASSIGN_OR_RETURN(host.states.disk_bytes, StateBytes("--state-disk", options.state_disk_gb));
  TERN_RETURN_IF_ERROR(CheckListening(http));
  TERN_RETURN_IF_ERROR(CheckPageFolder(options.page_folder));
  if (options.model.threads > 0) SetNumThreads(options.model.threads);

  TERN_ASSIGN_OR_RETURN(serve::AccessLog log, OpenAccessLog(options.access_log));
  const auto context = std::make_shared<serve::ServiceContext>(sources, Loader(options.model), host);
  context->version = TERN_VERSION;
  // The port first: whoever waits for the service finds it loading rather than nobody.
  TERN_ASSIGN_OR_RETURN(
      auto server, serve::HttpServer::Start(http, serve::ServiceRoutes(context, options.page_folder), log));
  context->http_stats = [raw = server.get()] { return raw->stats(); };
  for (const serve::ModelSource& source : sources) {
    const Status loaded = context->host.Load(source.name);
    if (!loaded.ok()) {
      server->Stop(std::chrono::milliseconds(0));
      serve::StopService(*context);
      return loaded;
    }
  }
  context->ready = true;
  std::cout << fmt::format("{}\n", server->url()) << std::flush;

  signals.WaitForEnd([&] { Renew(options, *server); });
  signals.EndAtNext();
  serve::StopService(*context, *server, std::chrono::seconds(options.grace_seconds));
  return OkStatus();
}

void AddHttpOptions(CLI::App& command, ServeArguments& o) {
  const auto group = [](CLI::Option* option) { return option->group("Connections"); };
  group(command.add_option("--address", o.http.address, "Where to listen")->capture_default_str());
  group(command.add_option("--port", o.http.port, "0: any that is free")->capture_default_str());
  group(command
            .add_option("--api-keys", o.api_keys, "File of keys; requests then need one (also TERN_API_KEYS)")
            ->type_name("FILE"));
  group(command
            .add_option("--admin-keys", o.admin_keys,
                        "File of keys that may also load and unload models (also TERN_ADMIN_KEYS)")
            ->type_name("FILE"));
  group(command.add_flag("--allow-open", o.http.allow_open, "Listen beyond this machine without keys"));
  group(command.add_option("--cors", o.http.allowed_origins, "Origins of pages that may ask; *: all")
            ->type_name("ORIGIN…")
            ->delimiter(','));
  group(
      command
          .add_option("--host", o.http.allowed_hosts, "Names of this machine that requests may give; *: all")
          ->type_name("NAME…")
          ->delimiter(','));
  group(command.add_option("--certificate", o.http.certificate_file, "TLS: certificate chain (PEM)")
            ->type_name("FILE"));
  group(command.add_option("--key", o.http.key_file, "TLS: private key (PEM)")->type_name("FILE"));
  group(command.add_option("--access-log", o.access_log, "A JSON line per request; -: standard error")
            ->type_name("FILE"));
  group(command
            .add_option("--grace", o.grace_seconds, "Seconds for running answers when the service is stopped")
            ->check(AtLeast(0))
            ->capture_default_str());
  group(
      command
          .add_option("--page-folder", o.page_folder, "Files of the page to use instead of the program's own")
          ->type_name("FOLDER"));
}

void AddEngineOptions(CLI::App& command, ServeArguments& o) {
  const auto group = [](CLI::Option* option) { return option->group("Work")->capture_default_str(); };
  group(command.add_option("--max-batch", o.host.engine.max_batch, "Answers that are written at once")
            ->check(CLI::Range(1, 65536)));
  group(command.add_option("--max-queue", o.host.engine.max_queue, "Requests that wait beyond them")
            ->check(CLI::Range(0, 1 << 20)));
  group(command
            .add_option("--states", o.host.states.folder, "Where kept states go that memory has no room for")
            ->type_name("FOLDER"));
  group(command.add_option("--state-memory", o.state_memory_gb, "Gigabytes of kept states in memory")
            ->check(AtLeast(0)));
  group(command.add_option("--state-disk", o.state_disk_gb, "Gigabytes of kept states in the folder")
            ->check(AtLeast(0)));
}

}  // namespace

void AddServe(CLI::App& app, Run* run) {
  auto options = std::make_shared<ServeArguments>();
  CLI::App* command = app.add_subcommand("serve", "Serve models: OpenAI's interface and a web page");
  command
      ->add_option("-m,--model", options->models,
                   "A model, several times; its name for clients is the file's if not given")
      ->type_name("NAME=FILE…");
  command
      ->add_option("--tokenizer", options->model.tokenizer,
                   "Vocabulary of all models (default: found by itself)")
      ->type_name("FILE");
  command
      ->add_option("--state-in", options->states_in,
                   "Begin every text of a model from a saved state, or from a tuned one (att.time_state)")
      ->type_name("[NAME=]FILE…");
  AddThreads(*command, options->model.threads);
  command->add_flag("--mmap", options->model.mapped, "Use the weights in the mapped file");
  AddHttpOptions(*command, *options);
  AddEngineOptions(*command, *options);
  command->callback([=] { *run = [=] { return RunServe(*options); }; });
}

}  // namespace tern
