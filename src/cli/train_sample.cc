#include "cli/train_sample.h"

#include "infer/generator.h"
#include "infer/sampler.h"
#include "infer/session.h"
#include "model/model.h"
#include "train/model_weights.h"

namespace tern {

Result<std::string> SampleText(const train::Trainer& trainer, const Tokenizer& tokenizer,
                               const std::string& prompt, int64_t tokens) {
  TERN_ASSIGN_OR_RETURN(auto checkpoint, train::ViewAsCheckpoint(trainer.layout(), trainer.parameters()));
  TERN_ASSIGN_OR_RETURN(auto model, Model::FromCheckpoint(std::move(checkpoint), Placement::kMapped));
  Session session(model, /*remember_tokens=*/false);
  SamplingOptions sampling;
  sampling.top_p = 0.9f;
  sampling.presence = sampling.frequency = 0;
  Sampler sampler(sampling, &tokenizer);
  std::vector<int32_t> read = tokenizer.Encode(prompt);
  if (read.empty()) read = {FirstToken(tokenizer)};
  TERN_RETURN_IF_ERROR(session.Feed(read));
  GenerateOptions generate;
  generate.max_tokens = tokens;
  TERN_ASSIGN_OR_RETURN(const GenerateResult result, Generate(session, sampler, tokenizer, generate,
                                                              [](std::string_view) { return true; }));
  return prompt + result.text;
}

}  // namespace tern
