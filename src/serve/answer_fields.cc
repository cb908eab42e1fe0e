#include "serve/answer_fields.h"

namespace tern::serve {
namespace {

using field::Ignored;
using field::Own;
using field::Read;
using field::Refused;

constexpr double kTextBytes = 1 << 20;

constexpr Field kShared[] = {
    Read("stream", kJsonBoolean, "answer in server-sent events"),
    Read("stream_options", kJsonObject, "{include_usage}: a last event with the count of tokens"),
    Read("n", kJsonInteger, 1, kMaxChoices, "how many answers"),
    Read("seed", kJsonInteger, "the same seed, the same answer; answer i is drawn with seed + i"),
    Read("stop", kJsonString | kJsonArray, "a text, or several, that end the answer; not shown"),
    Read("temperature", kJsonNumber, 0, 2, "0: always the most probable token; 1 when absent"),
    Read("top_p", kJsonNumber, 0, 1, "the fewest tokens that hold this share; 1 when absent"),
    Read("presence_penalty", kJsonNumber, -2, 2, "taken from the logit of each token that occurred"),
    Read("frequency_penalty", kJsonNumber, -2, 2, "taken from a token's logit for each time it occurred"),
    Read("logit_bias", kJsonObject, "token → number from -100 to 100, added to its logit"),
    Read("max_tokens", kJsonInteger, -1, kMaxTokens, "4096 in a chat, else 16 when absent; -1: no limit"),
    Read("max_completion_tokens", kJsonInteger, -1, kMaxTokens, "the same; thinking included"),
    Own(Read("n_predict", kJsonInteger, -1, kMaxTokens, "the same (llama.cpp's name)")),
    Own(Read("max_new_tokens", kJsonInteger, -1, kMaxTokens, "the same (TGI's name)")),

    // Sampling
    Own(Read("top_k", kJsonInteger, -1, 1e6, "at most so many tokens; 0 and -1: off")),
    Own(Read("min_p", kJsonNumber, 0, 0.999999, "tokens with this share of the best one's probability")),
    Own(Read("typical_p", kJsonNumber, "locally typical sampling: above 0, at most 1 (off)")),
    Own(Read("mirostat", kJsonInteger, "2: mirostat 2 instead of top_k, top_p, min_p, typical_p; 0: off")),
    Own(Read("mirostat_mode", kJsonInteger, "the same")),
    Own(Read("mirostat_tau", kJsonNumber, "its target surprise in bits; 5 when absent")),
    Own(Read("mirostat_eta", kJsonNumber, "its learning rate; 0.1 when absent")),
    Own(Read("mirostat_lr", kJsonNumber, "the same")),
    Own(Read("repeat_penalty", kJsonNumber, "divides positive logits of tokens that occurred; 1: off")),
    Own(Read("repetition_penalty", kJsonNumber, "the same (vLLM's name)")),
    Own(Read("repeat_last_n", kJsonInteger, -1, kMaxTokens, "-1, as penalties count the whole answer; 0: no penalties")),
    Own(Read("penalty_decay", kJsonNumber, 0, 1, "occurrences fade by this factor per token; 1 if absent")),
    Own(Read("ignore_eos", kJsonBoolean, "go on after the end of a document")),
    Own(Read("stop_token_ids", kJsonArray, 0, 1024, "tokens that end the answer; not shown")),

    // What the answer must be
    Read("response_format", kJsonObject,
         "{type: text | json_object | json_schema | grammar | regex} with its schema, grammar or pattern"),
    Own(Read("structured_outputs", kJsonObject, "exactly one of {json, json_object, choice, regex, grammar}")),
    Own(Read("json_schema", kJsonObject | kJsonString | kJsonBoolean, "JSON that is valid against it")),
    Own(Read("guided_json", kJsonObject | kJsonString | kJsonBoolean, "JSON that is valid against it")),
    Own(Read("guided_json_object", kJsonBoolean, "any JSON object")),
    Own(Read("guided_choice", kJsonArray, 1, 65536, "one of these texts")),
    Own(Read("guided_regex", kJsonString, 1, kTextBytes, "a text that the whole expression matches")),
    Own(Read("regex", kJsonString, 1, kTextBytes, "the same (SGLang's name)")),
    Own(Read("guided_grammar", kJsonString, 1, kTextBytes, "GBNF: what the answer must be (docs/grammar.md)")),
    Own(Read("grammar", kJsonString, 0, kTextBytes, "the same")),
    Own(Read("grammar_string", kJsonString, 0, kTextBytes, "the same")),
    Own(Read("ebnf", kJsonString, 0, kTextBytes, "the same (SGLang's name)")),
    Own(Read("format", kJsonString | kJsonObject, "json, or a JSON Schema (Ollama's name)")),
    Own(Ignored("guided_decoding_backend", kJsonString, "there is one")),
    Refused("guided_whitespace_pattern", nullptr, "JSON has single spaces, where any"),
    Refused("extra_body", "{}", "give its members as fields of the request"),
    Refused("json", nullptr, "give the schema as json_schema or guided_json"),
    Refused("choice", nullptr, "give the texts as guided_choice"),
    Refused("bnf_schema", "\"\"", "this is another language than GBNF: use grammar"),
    Refused("structural_tag", nullptr, "use tools or a grammar"),
    Refused("grammar_lazy", "false", "a grammar holds from the answer's beginning"),
    Refused("grammar_triggers", "[]", "a grammar holds from the answer's beginning"),

    // Kept states
    Own(Read("state", kJsonString, 1, 128, "the id of a kept state; the text goes on there")),
    Own(Read("keep_state", kJsonBoolean | kJsonString,
             "true: keep the state at the end of each answer until it is deleted; the choice has its id. \"evictable\": "
             "forget it when other states need its memory or disk")),

    // Without effect
    Ignored("user", kJsonString, "states are kept apart by API key"),
    Ignored("metadata", kJsonObject, "nothing is stored"),
    Ignored("service_tier", kJsonString, "there is one"),
    Ignored("store", kJsonBoolean, "nothing is stored"),
    Own(Ignored("cache_prompt", kJsonBoolean, "an answer does not depend on what was read before")),
    Own(Ignored("id_slot", kJsonInteger, "there are no slots")),
    Own(Ignored("n_keep", kJsonInteger, "there is no limit of context")),
    Own(Ignored("num_ctx", kJsonInteger, "there is no limit of context")),
    Own(Ignored("keep_alive", kJsonAny, "models stay loaded")),
    Own(Ignored("priority", kJsonInteger, "waiting requests are taken in turn")),
    Own(Ignored("request_id", kJsonString, "send X-Request-Id")),
    Own(Ignored("skip_special_tokens", kJsonBoolean, "no token of an answer has a special text")),
    Own(Ignored("spaces_between_special_tokens", kJsonBoolean, "no token of an answer has a special text")),
    Own(Ignored("add_special_tokens", kJsonBoolean, "nothing is put in front of a text")),
    Own(Ignored("timings_per_token", kJsonBoolean, "no timings are sent")),
    Own(Ignored("return_progress", kJsonBoolean, "no progress is sent")),

    // They would change the answer
    Refused("best_of", "1", "ask for n answers and choose"),
    Refused("use_beam_search", "false", "answers are sampled"),
    Refused("num_beams", "1", "answers are sampled"),
    Refused("do_sample", "true", "for the most probable tokens give temperature 0"),
    Refused("min_tokens", "0", "an answer ends where the model ends it"),
    Refused("min_length", "0", "an answer ends where the model ends it"),
    Refused("min_keep", "0|1", "not a sampler here"),
    Refused("tfs", "1", "not a sampler here"),
    Refused("tfs_z", "1", "not a sampler here"),
    Refused("top_a", "0", "not a sampler here"),
    Refused("top_n_sigma", "-1|0", "not a sampler here"),
    Refused("xtc_probability", "0", "not a sampler here"),
    Refused("dry_multiplier", "0", "not a sampler here"),
    Refused("dynatemp_range", "0", "not a sampler here"),
    Refused("dynamic_temperature", "false", "not a sampler here"),
    Refused("smoothing_factor", "0", "not a sampler here"),
    Refused("epsilon_cutoff", "0", "not a sampler here"),
    Refused("eta_cutoff", "0", "not a sampler here"),
    Refused("penalty_alpha", "0", "not a sampler here"),
    Refused("no_repeat_ngram_size", "0", "not a sampler here"),
    Refused("encoder_repetition_penalty", "1", "not a sampler here"),
    Refused("repetition_penalty_range", "0|-1", "penalties count the whole answer"),
    Refused("samplers", nullptr, "their order is fixed (docs/sampling.md)"),
    Refused("guidance_scale", "1", "not a sampler here"),
    Refused("cfg_scale", "1", "not a sampler here"),
    Refused("negative_prompt", "\"\"", "not a sampler here"),
    Refused("logits_processors", "[]", "not a sampler here"),
    Refused("allowed_token_ids", "[]", "use a grammar"),
    Refused("bad_words", "[]", "use logit_bias"),
    Refused("banned_strings", "[]|\"\"", "use logit_bias"),
    Refused("banned_tokens", "[]|\"\"", "use logit_bias"),
    Refused("custom_token_bans", "[]|\"\"", "use logit_bias"),
    Refused("token_healing", "false", "a prompt's tokens stay as they are"),
    Refused("truncate_prompt_tokens", "-1", "prompts are read in full"),
    Refused("include_stop_str_in_output", "false", "a stop text is not part of the answer"),
    Refused("no_stop_trim", "false", "a stop text is not part of the answer"),
    Refused("t_max_predict_ms", "-1|0", "limit the tokens: max_tokens"),
    Refused("prompt_logprobs", nullptr, "ask /v1/completions with echo and logprobs"),
    Refused("n_probs", "0", "ask for logprobs"),
    Refused("post_sampling_probs", "false", "log-probabilities are of the model's own distribution"),
    Refused("return_tokens_as_token_ids", "false", "tokens are named by their text"),
    Refused("return_token_ids", "false", "ask /tokenize"),
    Refused("response_fields", "[]", "answers have all their fields"),
    Refused("lora", "[]", "adapters are merged into a model's file"),
    Refused("adapter_id", "\"\"", "adapters are merged into a model's file"),
    Refused("image_data", "[]", "there is text only"),
    Refused("options", "{}", "give its members as fields of the request"),
    Refused("vllm_xargs", "{}", "there are no extensions"),
    Refused("kv_transfer_params", "{}", "states are sent by /v1/states"),
    Refused("cache_salt", "\"\"", "kept beginnings are kept apart by API key"),
    Refused("thinking_budget", "-1", "thoughts are limited by max_tokens"),
    Refused("thinking_budget_tokens", "-1", "thoughts are limited by max_tokens"),
    Refused("thinking_token_budget", "-1", "thoughts are limited by max_tokens"),
    Refused("reasoning_budget", "-1", "thoughts are limited by max_tokens"),
};

}  // namespace

std::span<const Field> SharedAnswerFields() { return kShared; }

}  // namespace tern::serve
