#include "serve/openapi_answers.h"

namespace tern::serve {
namespace {

constexpr const char* kChatSchemas = R"json({
  "ToolCall": {
    "type": "object", "required": ["id", "type", "function"],
    "properties": {
      "id": {"type": "string"},
      "type": {"const": "function"},
      "function": {
        "type": "object", "required": ["name", "arguments"],
        "properties": {"name": {"type": "string"},
                       "arguments": {"type": "string", "description": "the JSON text of an object"}}}}},
  "TokenLogprob": {
    "type": "object", "required": ["token", "logprob", "bytes"],
    "properties": {
      "token": {"type": "string"},
      "logprob": {"type": "number", "description": "-9999 for never"},
      "bytes": {"type": "array", "items": {"type": "integer"}},
      "top_logprobs": {"type": "array", "items": {"$ref": "#/components/schemas/TokenLogprob"}}}},
  "ChatLogprobs": {
    "type": ["object", "null"], "required": ["content", "refusal"],
    "properties": {
      "content": {"type": "array", "items": {"$ref": "#/components/schemas/TokenLogprob"}},
      "refusal": {"type": "null"}}},
  "ChatMessageAnswer": {
    "type": "object", "required": ["role", "content", "refusal"],
    "properties": {
      "role": {"const": "assistant"},
      "content": {"type": ["string", "null"], "description": "null beside calls without a text"},
      "refusal": {"type": "null"},
      "reasoning_content": {"type": "string", "description": "the thought"},
      "reasoning": {"type": "string", "description": "the same under another name"},
      "tool_calls": {"type": "array", "items": {"$ref": "#/components/schemas/ToolCall"}}}},
  "Usage": {
    "type": ["object", "null"], "required": ["prompt_tokens", "completion_tokens", "total_tokens"],
    "properties": {
      "prompt_tokens": {"type": "integer"},
      "completion_tokens": {"type": "integer"},
      "total_tokens": {"type": "integer"},
      "prompt_tokens_details": {
        "type": "object", "properties": {"cached_tokens": {"type": "integer"}}}}},
  "ChatAnswer": {
    "type": "object", "required": ["id", "object", "created", "model", "choices", "usage"],
    "properties": {
      "id": {"type": "string"},
      "object": {"const": "chat.completion"},
      "created": {"type": "integer", "description": "seconds since 1970"},
      "model": {"type": "string"},
      "system_fingerprint": {"type": "string"},
      "choices": {
        "type": "array",
        "items": {
          "type": "object", "required": ["index", "message", "logprobs", "finish_reason"],
          "properties": {
            "index": {"type": "integer"},
            "message": {"$ref": "#/components/schemas/ChatMessageAnswer"},
            "logprobs": {"$ref": "#/components/schemas/ChatLogprobs"},
            "finish_reason": {"enum": ["stop", "length", "tool_calls"]},
            "state": {"type": ["string", "null"], "description": "the id of the state kept at the answer's end"},
            "state_warning": {"$ref": "#/components/schemas/StateWarning"}}}},
      "usage": {"$ref": "#/components/schemas/Usage"}}},
  "ChatChunk": {
    "type": "object", "required": ["id", "object", "created", "model", "choices"],
    "properties": {
      "id": {"type": "string"},
      "object": {"const": "chat.completion.chunk"},
      "created": {"type": "integer"},
      "model": {"type": "string"},
      "system_fingerprint": {"type": "string"},
      "choices": {
        "type": "array",
        "items": {
          "type": "object", "required": ["index", "delta", "logprobs", "finish_reason"],
          "properties": {
            "index": {"type": "integer"},
            "delta": {
              "type": "object",
              "properties": {
                "role": {"const": "assistant"},
                "content": {"type": ["string", "null"]},
                "reasoning_content": {"type": "string"},
                "reasoning": {"type": "string"},
                "tool_calls": {
                  "type": "array",
                  "items": {
                    "type": "object", "required": ["index", "function"],
                    "properties": {
                      "index": {"type": "integer"},
                      "id": {"type": "string"},
                      "type": {"const": "function"},
                      "function": {
                        "type": "object",
                        "properties": {"name": {"type": "string"}, "arguments": {"type": "string"}}}}}}}},
            "logprobs": {"$ref": "#/components/schemas/ChatLogprobs"},
            "finish_reason": {"enum": ["stop", "length", "tool_calls", null]},
            "state": {"type": ["string", "null"]},
            "state_warning": {"$ref": "#/components/schemas/StateWarning"}}}},
      "usage": {"$ref": "#/components/schemas/Usage"}}}
})json";

constexpr const char* kTextSchemas = R"json({
  "CompletionLogprobs": {
    "type": ["object", "null"], "required": ["tokens", "token_logprobs", "top_logprobs", "text_offset"],
    "properties": {
      "tokens": {"type": "array", "items": {"type": "string"}},
      "token_logprobs": {"type": "array", "items": {"type": ["number", "null"]}},
      "top_logprobs": {
        "type": "array",
        "items": {"type": ["object", "null"], "additionalProperties": {"type": "number"}}},
      "text_offset": {"type": "array", "items": {"type": "integer"}}}},
  "CompletionAnswer": {
    "description": "Whole, or an event of a stream",
    "type": "object", "required": ["id", "object", "created", "model", "choices"],
    "properties": {
      "id": {"type": "string"},
      "object": {"const": "text_completion"},
      "created": {"type": "integer", "description": "seconds since 1970"},
      "model": {"type": "string"},
      "system_fingerprint": {"type": "string"},
      "choices": {
        "type": "array",
        "items": {
          "type": "object", "required": ["text", "index", "logprobs", "finish_reason"],
          "properties": {
            "text": {"type": "string"},
            "index": {"type": "integer"},
            "logprobs": {"$ref": "#/components/schemas/CompletionLogprobs"},
            "finish_reason": {"enum": ["stop", "length", null]},
            "state": {"type": ["string", "null"], "description": "the id of the state kept at the answer's end"},
            "state_warning": {"$ref": "#/components/schemas/StateWarning"}}}},
      "usage": {"$ref": "#/components/schemas/Usage"}}},
  "EmbeddingAnswer": {
    "type": "object", "required": ["object", "data", "model", "usage"],
    "properties": {
      "object": {"const": "list"},
      "data": {
        "type": "array",
        "items": {
          "type": "object", "required": ["object", "index", "embedding"],
          "properties": {
            "object": {"const": "embedding"},
            "index": {"type": "integer"},
            "embedding": {"type": ["array", "string"], "items": {"type": "number"},
                          "description": "numbers, or base64 of little-endian float32"}}}},
      "model": {"type": "string"},
      "usage": {
        "type": "object",
        "properties": {"prompt_tokens": {"type": "integer"}, "total_tokens": {"type": "integer"}}}}},
  "TokenizeAnswer": {
    "type": "object", "required": ["tokens", "pieces"],
    "properties": {
      "tokens": {"type": "array", "items": {"type": "integer"}},
      "pieces": {"type": "array", "items": {"type": "string"}}}},
  "DetokenizeAnswer": {
    "type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}},
  "RootTokenizeAnswer": {
    "type": "object", "required": ["count", "max_model_len", "tokens", "token_strs"],
    "properties": {
      "count": {"type": "integer"},
      "max_model_len": {"type": "integer"},
      "tokens": {"type": "array", "items": {"type": "integer"}},
      "token_strs": {"type": ["array", "null"], "items": {"type": "string"}}}},
  "RootDetokenizeAnswer": {
    "type": "object", "required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
  "TokenizerInfo": {
    "type": "object", "required": ["tokenizer_class", "eos_token", "bos_token", "pad_token", "chat_template"],
    "properties": {
      "tokenizer_class": {"type": "string"},
      "vocab_size": {"type": "integer"},
      "bos_token": {"type": ["string", "null"]},
      "eos_token": {"type": ["string", "null"]},
      "pad_token": {"type": ["string", "null"]},
      "add_bos_token": {"type": "boolean"},
      "chat_template": {"type": "null"}}}
})json";

constexpr const char* kServiceSchemas = R"json({
  "Model": {
    "type": "object", "required": ["id", "object", "created", "owned_by", "tern"],
    "properties": {
      "id": {"type": "string"},
      "object": {"const": "model"},
      "created": {"type": "integer"},
      "owned_by": {"type": "string"},
      "tern": {
        "type": "object", "required": ["loaded", "path_name"],
        "properties": {
          "loaded": {"type": "boolean"},
          "path_name": {"type": "string"},
          "generation": {"type": "string"},
          "layers": {"type": "integer"},
          "width": {"type": "integer"},
          "vocabulary": {"type": "integer"},
          "type": {"type": "string"},
          "parameters": {"type": "integer"},
          "weight_bytes": {"type": "integer"},
          "memory_bytes": {"type": "integer"},
          "state_bytes": {"type": "integer"},
          "tokenizer": {"type": "string"},
          "template": {"type": "string"},
          "loaded_at": {"type": "integer"}}}}},
  "ModelList": {
    "type": "object", "required": ["object", "data"],
    "properties": {
      "object": {"const": "list"},
      "data": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}}}},
  "StateWarning": {
    "description": "Why there is no state although one was asked for",
    "type": "object", "required": ["code", "message"],
    "properties": {"code": {"enum": ["insufficient_storage", "internal_error"]}, "message": {"type": "string"}}},
  "State": {
    "type": "object", "required": ["id", "object", "parent", "tokens", "bytes", "created", "used", "in_memory",
                                   "evictable", "model"],
    "properties": {
      "id": {"type": "string"},
      "object": {"const": "state"},
      "parent": {"type": ["string", "null"]},
      "note": {"type": "string", "description": "absent in an admin's list"},
      "owner": {"type": "string", "description": "in an admin's list only: whose state it is"},
      "tokens": {"type": "integer", "description": "how many it has read"},
      "bytes": {"type": "integer"},
      "created": {"type": "integer"},
      "used": {"type": "integer"},
      "in_memory": {"type": "boolean"},
      "evictable": {"type": "boolean", "description": "it is forgotten when others need its memory or disk"},
      "model": {"type": "string"}}},
  "StateList": {
    "type": "object", "required": ["object", "data", "first_id", "last_id", "has_more"],
    "properties": {
      "object": {"const": "list"},
      "data": {"type": "array", "items": {"$ref": "#/components/schemas/State"}},
      "first_id": {"type": ["string", "null"]},
      "last_id": {"type": ["string", "null"]},
      "has_more": {"type": "boolean"}}},
  "StateWithText": {
    "description": "A state, and what it has read",
    "type": "object", "required": ["id", "object", "token_count", "tokens", "text"],
    "properties": {
      "id": {"type": "string"},
      "object": {"const": "state"},
      "parent": {"type": ["string", "null"]},
      "note": {"type": "string"},
      "token_count": {"type": "integer"},
      "tokens": {"type": "array", "items": {"type": "integer"}},
      "text": {"type": "string"},
      "bytes": {"type": "integer"},
      "created": {"type": "integer"},
      "used": {"type": "integer"},
      "in_memory": {"type": "boolean"},
      "evictable": {"type": "boolean", "description": "it is forgotten when others need its memory or disk"},
      "model": {"type": "string"}}},
  "StateDeleted": {
    "type": "object", "required": ["id", "object", "deleted"],
    "properties": {
      "id": {"type": "string"},
      "object": {"const": "state.deleted"},
      "deleted": {"type": "boolean"}}},
  "Status": {
    "description": "Figures for people and for the page; more may be added",
    "type": "object", "required": ["version", "uptime_seconds", "machine", "process", "models"],
    "properties": {
      "version": {"type": "string"},
      "admin": {"type": "boolean", "description": "whether the one who asks may load and unload models"},
      "uptime_seconds": {"type": "number"},
      "machine": {"type": "object", "additionalProperties": true},
      "process": {"type": "object", "additionalProperties": true},
      "http": {"type": "object", "additionalProperties": true},
      "models": {"type": "array", "items": {"type": "object", "additionalProperties": true}}}},
  "Health": {
    "type": "object", "required": ["status"],
    "properties": {"status": {"type": "string"}}},
  "Error": {
    "type": "object", "required": ["error"],
    "properties": {
      "error": {
        "type": "object", "required": ["message", "type", "param", "code"],
        "properties": {
          "message": {"type": "string"},
          "type": {"type": "string"},
          "param": {"type": ["string", "null"]},
          "code": {"type": ["string", "null"]}}}}}
})json";

}  // namespace

nlohmann::ordered_json AnswerSchemas() {
  nlohmann::ordered_json all = nlohmann::ordered_json::object();
  for (const char* schemas : {kChatSchemas, kTextSchemas, kServiceSchemas})
    all.update(nlohmann::ordered_json::parse(schemas));
  return all;
}

}  // namespace tern::serve
