// tern chat: a conversation at the terminal.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>

#include <unistd.h>

#include <fmt/format.h>

#include "base/progress.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/line_editor.h"
#include "cli/numbers.h"
#include "cli/seed.h"
#include "infer/conversation.h"

namespace tern {
namespace {

constexpr const char* kDim = "\x1b[2m";
constexpr const char* kPlain = "\x1b[0m";

constexpr const char* kHelp =
    "  +reset            forget everything said so far\n"
    "  +retry            another answer to the last question\n"
    "  +undo             take the last question and its answer back\n"
    "  +gen TEXT         continue a text, outside this conversation\n"
    "  +save FILE        keep the conversation; +load FILE brings it back\n"
    "  +set              show the sampling options; +set NAME VALUE changes one\n"
    "  +help             this list\n"
    "  Ctrl-C stops an answer, Ctrl-D ends. A line that ends in \\ goes on in the next one.\n";

struct ChatArguments {
  ModelOptions model;
  SamplingOptions sampling = {.top_p = 0.5f, .presence = 0.4f, .frequency = 0.4f};
  std::string chat_template, system, load, state_in;
  int64_t max_tokens = 2000;
  bool json = false;
};

/// Shows an answer as it grows: thinking dimmed, markers and what may become one left out.
class AnswerView {
 public:
  AnswerView(const ChatTemplate& chat, bool terminal) : chat_(chat), terminal_(terminal) {}

  void Add(std::string_view text) {
    generated_ += text;
    Show(false);
  }
  void Finish() {
    Show(true);
    std::cout << (terminal_ && dim_ ? kPlain : "") << "\n" << std::flush;
  }

 private:
  void Show(bool final) {
    const SplitText split = SplitAnswer(chat_, generated_);
    std::string_view thinking = split.thinking;
    if (!split.thinking_done && !final) thinking.remove_suffix(BeginningOfMarker(thinking));
    Grow(thinking, &thinking_shown_, true);
    if (!split.answer.empty() && thinking_shown_ > 0 && answer_shown_ == 0) std::cout << "\n";
    Grow(split.answer, &answer_shown_, false);
  }

  /// Bytes at the end of `text` that the end-of-thinking marker may begin with.
  size_t BeginningOfMarker(std::string_view text) const {
    const std::string_view marker = chat_.think_end;
    for (size_t n = std::min(text.size(), marker.size()); n > 0; --n) {
      if (text.ends_with(marker.substr(0, n))) return n;
    }
    return 0;
  }

  void Grow(std::string_view text, size_t* shown, bool dim) {
    if (text.size() <= *shown) return;
    if (terminal_ && dim != dim_) std::cout << (dim ? kDim : kPlain);
    dim_ = dim;
    std::cout << text.substr(*shown) << std::flush;
    *shown = text.size();
  }

  const ChatTemplate& chat_;
  bool terminal_, dim_ = false;
  std::string generated_;
  size_t thinking_shown_ = 0, answer_shown_ = 0;
};

class Chat {
 public:
  Chat(const ChatArguments& options, LoadedModel loaded, ChatTemplate chat)
      : options_(options),
        loaded_(std::move(loaded)),
        conversation_(loaded_.model, loaded_.tokenizer, std::move(chat), options.sampling, options.system),
        editor_(DefaultHistoryFile()),
        terminal_(::isatty(STDOUT_FILENO) == 1) {}

  Status Run() {
    if (!options_.state_in.empty()) TERN_RETURN_IF_ERROR(conversation_.StartFrom(options_.state_in));
    if (!options_.load.empty()) {
      const std::string asked = conversation_.chat().name;
      TERN_RETURN_IF_ERROR(Load(options_.load));
      NoteWhatWasSaved(asked);
    }
    if (editor_.terminal()) {
      std::cout << fmt::format("{}, template {}; +help lists the commands\n",
                               std::filesystem::path(loaded_.model->checkpoint().source().path()).filename().string(),
                               conversation_.chat().name);
    }
    for (;;) {
      if (editor_.terminal()) std::cout << "\n" << std::flush;
      TERN_ASSIGN_OR_RETURN(const auto line, editor_.Read("You: "));
      if (!line) break;
      const Status status = Handle(*line);
      if (!status.ok() && !editor_.terminal()) return status;  // a script must not go on after a failure
      if (!status.ok() && status.code() != StatusCode::kCancelled) fmt::print(stderr, "tern: {}\n", status.message());
      ClearInterrupt();
    }
    return OkStatus();
  }

 private:
  /// A conversation goes on as it began: says so where the command line asks for something else.
  void NoteWhatWasSaved(const std::string& asked_template) const {
    const bool other_template =
        !options_.chat_template.empty() && asked_template != conversation_.chat().name;
    const bool other_system = !options_.system.empty() && options_.system != conversation_.system();
    if (!other_template && !other_system) return;
    fmt::print(stderr, "tern: {} not used: the conversation in '{}' keeps its own\n",
               !other_system     ? "--template is"
               : !other_template ? "--system is"
                                 : "--template and --system are",
               options_.load);
  }

  Status Handle(const std::string& line) {
    if (line.empty()) return OkStatus();
    if (line[0] != '+') return Say(line);
    const size_t space = line.find_first_of(" \n");
    const std::string command = line.substr(0, space);
    const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
    if (command == "+reset") {
      conversation_.Reset();
      return OkStatus();
    }
    if (command == "+retry") return Retry();
    if (command == "+undo") return conversation_.Undo();
    if (command == "+gen") return Continue(rest);
    if (command == "+save") return rest.empty() ? InvalidArgument("+save needs a file name") : conversation_.Save(rest);
    if (command == "+load") return rest.empty() ? InvalidArgument("+load needs a file name") : Load(rest);
    if (command == "+set") return Set(rest);
    if (command == "+help") {
      options_.json ? PrintLine({{"help", kHelp}}) : void(std::cout << kHelp);
      return OkStatus();
    }
    return InvalidArgument(fmt::format("there is no command {}; +help lists them", command));
  }

  template <typename Produce>
  Status Show(const std::string& user, Produce produce) {
    AnswerView view(conversation_.chat(), terminal_);
    if (!options_.json && editor_.terminal()) std::cout << "\n";
    auto result = produce([&](std::string_view text) {
      if (!options_.json) view.Add(text);
      return !Interrupted();
    });
    if (!result.ok()) return result.status();
    if (options_.json) {
      PrintAnswer(user, *result);
    } else {
      view.Finish();
    }
    return OkStatus();
  }

  void PrintAnswer(const std::string& user, const GenerateResult& result) {
    const SplitText split = SplitAnswer(conversation_.chat(), result.text);
    PrintLine({{"user", user},
               {"thinking", split.thinking},
               {"answer", split.answer},
               {"stop", Name(result.reason)},
               {"tokens", result.generated},
               {"seconds", result.seconds}});
  }

  static void PrintLine(const nlohmann::ordered_json& line) {
    std::cout << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n" << std::flush;
  }

  Status Say(const std::string& user) {
    return Show(user, [&](OnText on_text) {
      Progress progress("reading", 0, "tokens", !options_.json);
      const auto reading = [&](int64_t done, int64_t total) {
        progress.Update(static_cast<uint64_t>(done));
        if (done == total) progress.Finish();
        return !Interrupted();
      };
      return conversation_.Say(user, options_.max_tokens, reading, on_text);
    });
  }

  Status Retry() {
    const std::string user = conversation_.turns().empty() ? "" : conversation_.turns().back().user;
    return Show(user, [&](OnText on_text) { return conversation_.Retry(options_.max_tokens, on_text); });
  }

  /// A text of its own: the conversation does not notice.
  Status Continue(const std::string& text) {
    Session session = conversation_.session().Fork();
    session.Reset();
    Sampler sampler(conversation_.sampling(), loaded_.tokenizer.get());
    std::vector<int32_t> tokens = loaded_.tokenizer->Encode(text);
    if (tokens.empty()) tokens = {FirstToken(*loaded_.tokenizer)};
    TERN_RETURN_IF_ERROR(FeedWithProgress(session, tokens, !options_.json));
    if (!options_.json) std::cout << text;
    TERN_ASSIGN_OR_RETURN(const GenerateResult result,
                          Generate(session, sampler, *loaded_.tokenizer, {.max_tokens = options_.max_tokens},
                                   [&](std::string_view piece) {
                                     if (!options_.json) std::cout << piece << std::flush;
                                     return !Interrupted();
                                   }));
    if (options_.json) {
      PrintLine({{"prompt", text},
                 {"text", result.text},
                 {"stop", Name(result.reason)},
                 {"tokens", result.generated},
                 {"seconds", result.seconds}});
    } else {
      std::cout << "\n";
    }
    return OkStatus();
  }

  Status Load(const std::string& path) {
    TERN_RETURN_IF_ERROR(conversation_.Load(path));
    if (options_.json || !editor_.terminal()) return OkStatus();
    for (const Turn& turn : conversation_.turns()) {
      std::cout << "\nYou: " << turn.user << "\n\n" << SplitAnswer(conversation_.chat(), turn.answer).answer << "\n";
    }
    return OkStatus();
  }

  /// The options by the names of the command line.
  Status Set(const std::string& text) {
    SamplingOptions changed = conversation_.sampling();
    const std::map<std::string, float*> numbers = {
        {"temperature", &changed.temperature}, {"top-p", &changed.top_p},
        {"min-p", &changed.min_p},             {"typical-p", &changed.typical_p},
        {"presence", &changed.presence},       {"frequency", &changed.frequency},
        {"penalty-decay", &changed.penalty_decay}, {"repeat-penalty", &changed.repeat},
        {"mirostat-tau", &changed.mirostat_tau},   {"mirostat-eta", &changed.mirostat_eta}};
    const std::map<std::string, int32_t*> integers = {{"top-k", &changed.top_k}, {"mirostat", &changed.mirostat}};
    if (text.empty() && options_.json) {
      nlohmann::ordered_json all;
      // The shortest digits that give the float back: as a double 0.4f would be 0.4000000059604645.
      for (const auto& [name, value] : numbers) all[name] = nlohmann::json::parse(fmt::format("{}", *value));
      for (const auto& [name, value] : integers) all[name] = *value;
      all["seed"] = changed.seed;
      all["tokens"] = options_.max_tokens;
      PrintLine({{"options", std::move(all)}});
      return OkStatus();
    }
    if (text.empty()) {
      for (const auto& [name, value] : numbers) std::cout << fmt::format("  {:<14} {}\n", name, *value);
      for (const auto& [name, value] : integers) std::cout << fmt::format("  {:<14} {}\n", name, *value);
      std::cout << fmt::format("  {:<14} {}\n  {:<14} {}\n", "seed", changed.seed, "tokens", options_.max_tokens);
      return OkStatus();
    }
    const size_t cut = text.find_first_of(" =");
    const std::string name = text.substr(0, cut), value = cut == std::string::npos ? "" : text.substr(cut + 1);
    if (name == "seed") {
      TERN_ASSIGN_OR_RETURN(changed.seed, ParseSeed(value));
      return conversation_.SetSampling(changed);
    }
    char* end = nullptr;
    const double number = std::strtod(value.c_str(), &end);
    if (value.empty() || *end != '\0' || !std::isfinite(number)) return InvalidArgument(fmt::format("+set {}: '{}' is no number", name, value));
    if (const auto it = numbers.find(name); it != numbers.end()) {
      *it->second = static_cast<float>(number);
    } else if (number != static_cast<double>(static_cast<int64_t>(std::clamp(number, -1e15, 1e15)))) {
      return InvalidArgument(fmt::format("+set {}: '{}' is no whole number", name, value));
    } else if (const auto whole = integers.find(name); whole != integers.end()) {
      *whole->second = static_cast<int32_t>(std::clamp(number, -2e9, 2e9));
    } else if (name == "tokens") {
      if (number < 1) return InvalidArgument(fmt::format("+set tokens: '{}' is less than 1", value));
      options_.max_tokens = static_cast<int64_t>(number);
    } else {
      return InvalidArgument(fmt::format("+set: there is no option '{}'; +set alone lists them", name));
    }
    return conversation_.SetSampling(changed);
  }

  ChatArguments options_;
  LoadedModel loaded_;
  Conversation conversation_;
  LineEditor editor_;
  bool terminal_;
};

Status RunChat(const ChatArguments& options) {
  TERN_RETURN_IF_ERROR(Validate(options.sampling));
  TERN_ASSIGN_OR_RETURN(LoadedModel loaded, LoadModelAndTokenizer(options.model));
  const std::string file = std::filesystem::path(loaded.model->checkpoint().source().path()).filename();
  ChatTemplate chat = ChooseTemplate(Major(loaded.model->config().generation), loaded.tokenizer->name(), file);
  if (!options.chat_template.empty()) {
    TERN_ASSIGN_OR_RETURN(chat, ParseTemplateName(options.chat_template));
  }
  CatchInterrupts({SIGINT});  // stops an answer, not the conversation
  return Chat(options, std::move(loaded), std::move(chat)).Run();
}

}  // namespace

void AddChat(CLI::App& app, Run* run) {
  auto options = std::make_shared<ChatArguments>();
  CLI::App* command = app.add_subcommand("chat", "Talk with a model");
  command->footer(std::string("During the conversation:\n") + kHelp);
  AddModelOptions(*command, options->model);
  command->add_option("--template", options->chat_template,
                      "raven, world, g1, g1-think or none (default: chosen from the model)");
  command->add_option("--system", options->system, "What the model is told before the first question");
  auto* load = command->add_option("--load", options->load, "Go on with a saved conversation")->type_name("FILE");
  command->add_option("--state-in", options->state_in, "Begin from a saved state, or from a tuned one (att.time_state)")
      ->type_name("FILE")
      ->excludes(load);
  command->add_option("-n,--tokens", options->max_tokens, "At most so many tokens per answer")
      ->check(AtLeast(1))
      ->capture_default_str();
  AddSamplingOptions(*command, options->sampling);
  command->add_flag("--json", options->json, "One JSON object per answer, +set and +help");
  command->callback([=] { *run = [=] { return RunChat(*options); }; });
}

}  // namespace tern
