// tern info: what a weight file is, and what running it costs.
#include <algorithm>
#include <iostream>
#include <map>

#include <fmt/format.h>

#include "base/cpu.h"
#include "cli/command.h"
#include "cli/common.h"
#include "kernels/ops.h"

namespace tern {
namespace {

struct InfoArguments {
  std::string file;
  std::string tokenizer;
  bool json = false, tensors = false, verify = false;
};

struct TypeCount {
  int64_t tensors = 0, parameters = 0;
  uint64_t bytes = 0;
};

nlohmann::ordered_json Describe(const Model& model, const std::string& tokenizer) {
  const ModelConfig& c = model.config();
  const Footprint& f = model.footprint();
  nlohmann::ordered_json j;
  j["file"] = model.checkpoint().source().path();
  j["format"] = Name(model.checkpoint().source().format());
  j["architecture"] = Name(c.generation);
  j["layers"] = c.layers;
  j["width"] = c.width;
  j["attention_width"] = c.att_width;
  j["ffn_width"] = c.ffn_width;
  if (c.heads > 0) {
    j["heads"] = c.heads;
    j["head_size"] = c.head_size;
    j["group_norm_eps"] = c.gn_eps;
  }
  j["layer_norm_eps"] = c.ln_eps;
  j["vocabulary"] = c.vocab;
  j["tokenizer"] = tokenizer;
  j["parameters"] = f.parameters;
  j["weight_bytes"] = f.weight_bytes;
  j["bytes_per_token"] = f.bytes_per_token;
  j["flop_per_token"] = f.flop_per_token;
  j["state_bytes"] = f.state_bytes;
  j["initial_state"] = FindInitialState(model.checkpoint()) == nullptr ? "zero" : "tuned";
  j["predicted_memory_bytes"] = f.memory_bytes;
  std::map<std::string, TypeCount> types;
  for (const CheckpointTensor& t : model.checkpoint().tensors()) {
    TypeCount& count = types[std::string(Name(t.dtype))];
    ++count.tensors;
    count.parameters += NumElements(t.shape).value_or(0);
    count.bytes += t.bytes.size();
  }
  for (const auto& [name, count] : types) {
    j["types"][name] = {{"tensors", count.tensors}, {"parameters", count.parameters}, {"bytes", count.bytes}};
  }
  j["kernels"] = kernels::Name(kernels::Kernels().level);
  j["cpu"] = DescribeCpu();
  return j;
}

void PrintTable(const nlohmann::ordered_json& j) {
  const auto number = [&](const char* key) { return j[key].get<uint64_t>(); };
  const auto line = [](std::string_view label, const std::string& value) {
    std::cout << fmt::format("{:<18}{}\n", label, value);
  };
  line("file", j["file"].get<std::string>() + " (" + j["format"].get<std::string>() + ")");
  line("architecture", j["architecture"]);
  std::string size = fmt::format("{} layers, width {}, ffn {}", number("layers"), number("width"), number("ffn_width"));
  if (number("attention_width") != number("width")) size += fmt::format(", attention {}", number("attention_width"));
  if (j.contains("heads")) size += fmt::format(", {} heads of {}", number("heads"), number("head_size"));
  line("size", size);
  if (j.contains("group_norm_eps"))
    line("group norm eps", fmt::format("{:.6g}", j["group_norm_eps"].get<double>()));
  line("vocabulary", fmt::format("{} ({})", number("vocabulary"), j["tokenizer"].get<std::string>()));
  line("parameters", fmt::format("{} ({})", HumanCount(number("parameters")), number("parameters")));
  for (const auto& [name, type] : j["types"].items()) {
    line("  " + name, fmt::format("{} in {} tensors, {}", HumanCount(type["parameters"].get<uint64_t>()),
                                  type["tensors"].get<int64_t>(), HumanBytes(type["bytes"].get<uint64_t>())));
  }
  line("weights", HumanBytes(number("weight_bytes")));
  line("state", HumanBytes(number("state_bytes")) + " per sequence, whatever its length");
  if (j["initial_state"] == "tuned") line("initial state", "tuned (att.time_state)");
  line("per token", fmt::format("{} read, {:.3g} MFLOP", HumanBytes(number("bytes_per_token")),
                                static_cast<double>(number("flop_per_token")) / 1e6));
  line("memory", HumanBytes(number("predicted_memory_bytes")) + " predicted");
  if (j.contains("checksums")) line("checksums", j["checksums"]);
  line("kernels", j["kernels"].get<std::string>() + " on " + j["cpu"].get<std::string>());
}

Status RunInfo(const InfoArguments& options) {
  auto loaded = LoadModel({.model = options.file, .mapped = true});
  // Only the file can be at fault here, not how the command was called.
  if (loaded.status().code() == StatusCode::kInvalidArgument) return Corrupt(loaded.status().message());
  TERN_ASSIGN_OR_RETURN(const auto model, std::move(loaded));
  const auto found = LoadModelTokenizer({.model = options.file, .tokenizer = options.tokenizer}, *model);
  if (!found.ok() && !options.tokenizer.empty()) return found.status();  // one that was asked for
  const std::string tokenizer =
      found.ok() ? std::string((*found)->name()) : std::string("no tokenizer found: use --tokenizer");
  nlohmann::ordered_json j = Describe(*model, tokenizer);
  if (options.verify) {
    TERN_RETURN_IF_ERROR(model->checkpoint().source().Verify());
    j["checksums"] = model->checkpoint().source().HasChecksums() ? "agree" : "none in this format";
  }
  if (options.tensors && options.json) {
    for (const CheckpointTensor& t : model->checkpoint().tensors()) {
      j["tensors"].push_back({{"name", t.name}, {"type", Name(t.dtype)}, {"shape", t.shape}});
    }
  }
  if (options.json) {
    PrintJson(j);
    return OkStatus();
  }
  PrintTable(j);
  if (!options.tensors) return OkStatus();
  for (const CheckpointTensor& t : model->checkpoint().tensors()) {
    std::cout << fmt::format("  {:<36}{:<6}{}\n", t.name, Name(t.dtype), ToString(t.shape));
  }
  return OkStatus();
}

}  // namespace

void AddInfo(CLI::App& app, Run* run) {
  auto options = std::make_shared<InfoArguments>();
  CLI::App* command = app.add_subcommand("info", "What a model is: architecture, sizes, types, cost per token");
  command->add_option("file", options->file, "Weight file or folder")->required()->type_name("FILE");
  command->add_option("--tokenizer", options->tokenizer, "Vocabulary (default: found by itself)")->type_name("FILE");
  command->add_flag("--tensors", options->tensors, "List every tensor");
  command->add_flag("--verify", options->verify, "Read all of it and compare the checksums that the format has (.pth)");
  command->add_flag("--json", options->json, "Machine-readable output");
  command->callback([=] { *run = [=] { return RunInfo(*options); }; });
}

}  // namespace tern
