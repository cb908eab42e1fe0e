// The state that a model starts every text from: zeros, or a tuned state (blocks.N.att.time_state) that lies in the
// model's file or in a file of its own.
#pragma once

#include <string>

#include "base/status.h"
#include "formats/checkpoint.h"
#include "model/config.h"
#include "model/state.h"
#include "model/weights.h"

namespace tern {

class Model;

/// Reads the tuned state of a model's file, where it has one, into `state` (which holds the zero state). The loader
/// checks and counts the tensors. Every layer has one, or none has.
Status ReadInitialState(const Checkpoint& checkpoint, const ModelConfig& config, WeightLoader& loader, State* state);

/// The start state of a file of tuned states: .pth as training writes it ([head, value, key]), or safetensors as
/// web-rwkv and Ai00 write it ([head, key, value]). Fails, naming the tensor, what was found and what the model needs,
/// on another number of layers or another shape, on any other tensor, and for RWKV-4, which has no such state.
Result<State> LoadTunedState(const TensorSource& source, const ModelConfig& config);

/// What a text of this model may start from: a state that Tern saved (LoadState), or a file of tuned states, which stands
/// for a place before the first token.
Result<SavedState> LoadStartState(const std::string& path, const Model& model);

}  // namespace tern
