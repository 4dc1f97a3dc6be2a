/* Lahar: large language models on any GPU, through Vulkan. The C API.
 *
 * Handles are opaque and made by *_create or *_open. Each may be destroyed at any time and in any order: what depends on it
 * keeps what it needs alive. Destroying NULL does nothing.
 *
 * Threads: every function may be called from any thread. Calls on one engine that wait for its turn (lahar_generate,
 * lahar_save_sequence, lahar_restore_sequence, lahar_measure_copy_rate) run one after the other on a thread of the engine's
 * own, which is also where token callbacks are called. Inside a callback everything but those four on the same engine is
 * allowed, lahar_cancel and lahar_engine_destroy included.
 * A callback must not throw or longjmp out. The `user` pointer of the log has to live until the runtime and everything made
 * from it are destroyed, those of other callbacks as long as the call that they are given to.
 *
 * Errors: functions that can fail return a lahar_status. The handle named in each comment then has a text that says what
 * was expected, what was found and where; it stays valid until the next failure on that handle. Out parameters are set to
 * NULL or 0 on failure.
 *
 * Structs that begin with `size` are versioned: set it to sizeof the struct (the *_INIT macros do). A field that is zero
 * takes its default. A struct of an older version is taken as if the fields that it lacks were zero; one of a newer version
 * is taken when the fields that this version does not know are zero.
 */
#ifndef LAHAR_H
#define LAHAR_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define LAHAR_API __attribute__((visibility("default")))
#else
#define LAHAR_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lahar_status {
  LAHAR_OK = 0,
  LAHAR_INVALID_ARGUMENT = 1, /* the call asks for something that cannot be */
  LAHAR_NOT_FOUND = 2,        /* a file, tensor or device is not there; no Vulkan */
  LAHAR_IO = 3,
  LAHAR_FORMAT = 4,      /* a file is damaged, truncated or not what it claims to be */
  LAHAR_UNSUPPORTED = 5, /* well-formed, but nothing here handles it */
  LAHAR_LIMIT = 6,       /* the context, or a bound on untrusted input */
  LAHAR_OUT_OF_MEMORY = 7,
  LAHAR_DEVICE_LOST = 8,
  LAHAR_CANCELLED = 9,
  LAHAR_REFUSED = 10, /* the chat template refuses these messages */
  LAHAR_INTERNAL = 11
} lahar_status;

/* A name for a status; never NULL. */
LAHAR_API const char* lahar_status_name(lahar_status status);
/* "0.1.0" */
LAHAR_API const char* lahar_version(void);

/* ---- runtime: a log and the Vulkan instance ------------------------------------------------------------------------- */

typedef struct lahar_runtime lahar_runtime;

typedef enum lahar_log_level {
  LAHAR_LOG_DEBUG = 0,
  LAHAR_LOG_INFO = 1,
  LAHAR_LOG_WARNING = 2,
  LAHAR_LOG_ERROR = 3
} lahar_log_level;

/* `text` has no line end and lives as long as the call. May be called from several threads at once. */
typedef void (*lahar_log_callback)(void* user, lahar_log_level level, const char* text);

typedef struct lahar_runtime_options {
  size_t size;
  lahar_log_callback log; /* NULL: nothing is logged */
  void* log_user;
  lahar_log_level log_level; /* the least severe that is passed on */
} lahar_runtime_options;
#define LAHAR_RUNTIME_OPTIONS_INIT \
  { sizeof(lahar_runtime_options), NULL, NULL, LAHAR_LOG_INFO }

/* Does not touch Vulkan yet. `options` may be NULL. Fails only when memory runs out or a size field is wrong. */
LAHAR_API lahar_status lahar_runtime_create(const lahar_runtime_options* options, lahar_runtime** out);
LAHAR_API void lahar_runtime_destroy(lahar_runtime* runtime);
LAHAR_API const char* lahar_runtime_error(const lahar_runtime* runtime);

typedef enum lahar_device_type {
  LAHAR_DEVICE_DISCRETE = 0,
  LAHAR_DEVICE_INTEGRATED = 1,
  LAHAR_DEVICE_VIRTUAL = 2,
  LAHAR_DEVICE_CPU = 3,
  LAHAR_DEVICE_OTHER = 4
} lahar_device_type;

typedef struct lahar_device {
  size_t size;
  uint32_t index; /* what lahar_engine_options.device can name, beside the UUID and a part of the name */
  lahar_device_type type;
  char name[256];
  char uuid[40];            /* 32 hex digits */
  char driver[256];         /* name and version */
  char refusal[256];        /* empty where the device can be used; else why not */
  uint64_t memory_bytes;    /* of device-local heaps */
  uint64_t available_bytes; /* of these, free now */
} lahar_device;

/* The devices in order: discrete before integrated before virtual before CPU. Writes at most `capacity` of them (each
   element's size field must be set, all to the same) and the number there are to *count. Errors: the runtime's. */
LAHAR_API lahar_status lahar_list_devices(lahar_runtime* runtime, lahar_device* devices, size_t capacity, size_t* count);

/* ---- an application's own Vulkan device ------------------------------------------------------------------------------- */

/* Handles of Vulkan are pointers here, so that this header needs none of Vulkan's. */
typedef void (*lahar_vulkan_function)(void);

/* What a VkDevice has to be created with for engines to share it. All of it points into memory of the runtime's, which lives
   as long as that. */
typedef struct lahar_vulkan_needs {
  size_t size;
  const char* const* extensions; /* of the device */
  uint32_t extension_count;
  uint32_t queue_family; /* that suits best: compute, without graphics where there is such a one */
  /* A VkPhysicalDeviceFeatures2 that chains VkPhysicalDeviceVulkan11Features to ...13Features and others, for
     VkDeviceCreateInfo.pNext. Further features may be turned on in it, and structures of other types be appended. */
  void* features;
} lahar_vulkan_needs;

/* `instance` (a VkInstance) has to be made for Vulkan 1.3 or newer. get_instance_proc_addr: NULL: the system loader's.
   LAHAR_UNSUPPORTED where this VkPhysicalDevice will not do; the text says what it lacks. Errors: the runtime's. */
LAHAR_API lahar_status lahar_vulkan_requirements(lahar_runtime* runtime, void* instance, void* physical_device,
                                                 lahar_vulkan_function get_instance_proc_addr, lahar_vulkan_needs* needs);

/* A device made as lahar_vulkan_requirements says, with all of it. It has to live until lahar_engine_destroy has returned;
   inside a callback of the engine, until the call has returned that the callback belongs to. */
typedef struct lahar_vulkan_device {
  size_t size;
  void *instance, *physical_device, *device, *queue;
  uint32_t queue_family; /* of the queue; with compute */
  lahar_vulkan_function get_instance_proc_addr;
  /* Called around each submission to the queue, on threads of the engine's. NULL: nobody else uses the queue. */
  void (*lock_queue)(void* user);
  void (*unlock_queue)(void* user);
  void* queue_user;
} lahar_vulkan_device;
#define LAHAR_VULKAN_DEVICE_INIT \
  { sizeof(lahar_vulkan_device), NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL }

/* ---- model: files, tokenizer, chat template -------------------------------------------------------------------------- */

typedef struct lahar_model lahar_model;

/* A GGUF file (the first of a split one), or a Hugging Face folder. Reads no weights yet. Errors: the runtime's. */
LAHAR_API lahar_status lahar_model_open(lahar_runtime* runtime, const char* path, lahar_model** out);
/* A GGUF in memory, which must stay as it is until the model and all engines made from it are destroyed. */
LAHAR_API lahar_status lahar_model_open_memory(lahar_runtime* runtime, const void* data, size_t size, lahar_model** out);
LAHAR_API void lahar_model_destroy(lahar_model* model);
LAHAR_API const char* lahar_model_error(const lahar_model* model);

typedef enum lahar_tokenize_flags {
  LAHAR_TOKENIZE_ADD_BOS = 1,      /* the beginning-of-sequence token in front, where the model has one */
  LAHAR_TOKENIZE_PARSE_SPECIAL = 2 /* special tokens that the text spells become tokens */
} lahar_tokenize_flags;

/* Writes at most `capacity` ids and the number there are to *count; LAHAR_LIMIT (and *count) when they do not fit.
   `text` has `length` bytes and may hold NUL. Errors: the model's. */
LAHAR_API lahar_status lahar_tokenize(lahar_model* model, const char* text, size_t length, uint32_t flags, int32_t* ids,
                                      size_t capacity, size_t* count);
/* Writes at most `capacity` bytes (no NUL is added) and the number there are to *length; LAHAR_LIMIT when they do not fit.
 */
LAHAR_API lahar_status lahar_detokenize(lahar_model* model, const int32_t* ids, size_t count, char* text, size_t capacity,
                                        size_t* length);

/* Renders the model's chat template. `json`: an object with "messages" and, where wanted, "tools", "documents",
   "add_generation_prompt" and further variables of the template. LAHAR_NOT_FOUND where the model has none. Output as
   lahar_detokenize. */
LAHAR_API lahar_status lahar_apply_template(lahar_model* model, const char* json, char* text, size_t capacity,
                                            size_t* length);
/* The same as token ids: text that came from a message never becomes a special token. Where the model has no template, the
   messages' contents one after the other. Output as lahar_tokenize. */
LAHAR_API lahar_status lahar_tokenize_chat(lahar_model* model, const char* json, int32_t* ids, size_t capacity,
                                           size_t* count);

/* ---- engine: a model loaded on a device ------------------------------------------------------------------------------ */

typedef struct lahar_engine lahar_engine;

typedef enum lahar_quantize {
  LAHAR_QUANTIZE_NONE = 0,
  LAHAR_QUANTIZE_INT8 = 1,
  LAHAR_QUANTIZE_INT4 = 2,
  LAHAR_QUANTIZE_FP8 = 3
} lahar_quantize;

/* What the KV cache holds. */
typedef enum lahar_kv {
  LAHAR_KV_DEFAULT = 0, /* F16; F32 with full_precision */
  LAHAR_KV_F16 = 1,
  LAHAR_KV_BF16 = 2,
  LAHAR_KV_F32 = 3,
  LAHAR_KV_INT8 = 4, /* with a scale for each token and head */
  LAHAR_KV_FP8 = 5,  /* e4m3, with the same */
  LAHAR_KV_INT4 = 6  /* with 32 bits of scales for each 32 elements */
} lahar_kv;

/* How RoPE is stretched over a longer context than the model was trained on. */
typedef enum lahar_rope_scaling {
  LAHAR_ROPE_DEFAULT = 0, /* as the model's file says; while streaming, by YaRN where the cache is longer than that */
  LAHAR_ROPE_NONE = 1,
  LAHAR_ROPE_LINEAR = 2, /* positions are divided: for models that were trained so */
  LAHAR_ROPE_YARN = 3
} lahar_rope_scaling;

/* Bytes of the model's files done and in all. Not zero cancels. Called on the thread that opens. */
typedef int (*lahar_progress_callback)(void* user, uint64_t done, uint64_t total);

typedef struct lahar_engine_options {
  size_t size;
  const char* device;      /* number, UUID or part of a name; NULL: the first */
  uint32_t context;        /* tokens; 0: the model's, at most 8192, shortened where memory is short */
  uint32_t chunk;          /* prompt tokens a step; 0: 512 */
  lahar_quantize quantize; /* of F32, F16 and BF16 weights, while loading */
  int full_precision;      /* not 0: everything in fp32, for comparison with references */
  uint64_t memory_cap;     /* bytes of device memory; weights beyond it are read from the host's memory; 0: what there is */
  lahar_progress_callback progress;
  void* progress_user;
  lahar_kv kv;
  /* With a window above 0 neither the prompt nor the reply has an end: the first streaming_sinks tokens and at least the
   * last streaming_window stay in a cache of constant size, whose size replaces `context`. Models of recurrent layers alone
   * have no cache: with any window their positions run on beyond `context`. */
  uint32_t streaming_sinks, streaming_window;
  const lahar_vulkan_device* vulkan; /* instead of `device`: the application's own */
  uint32_t alternatives;             /* with each token, so many of the likeliest; at most LAHAR_MOST_ALTERNATIVES */
  float time_slice;                  /* milliseconds, as lahar_set_time_slice */
  /* Bytes of device memory for copies of the experts in use, while all experts stay in the host's memory. 0: everything goes
   * to the device where it fits; where not, experts have copies in what is left. */
  uint64_t expert_cache;
  /* A scaling or a factor that is given counts instead of the model's own and of what streaming would choose. */
  lahar_rope_scaling rope_scaling; /* default with a factor: the model's own where it is linear or YaRN, else linear */
  uint32_t rope_original_context;  /* tokens of the sequences that the model was trained on; 0: what its file says */
  double rope_scale;               /* the factor, at least 1; 0: what the context needs */
} lahar_engine_options;
#define LAHAR_MOST_ALTERNATIVES 20
#define LAHAR_ENGINE_OPTIONS_INIT                                                                                           \
  {                                                                                                                         \
    sizeof(lahar_engine_options), NULL, 0, 0, LAHAR_QUANTIZE_NONE, 0, 0, NULL, NULL, LAHAR_KV_DEFAULT, 0, 0, NULL, 0, 0, 0, \
        LAHAR_ROPE_DEFAULT, 0, 0                                                                                            \
  }

typedef struct lahar_memory_plan {
  size_t size;
  uint64_t weights_bytes, kv_bytes, scratch_bytes; /* kv_bytes: with the states of recurrent layers */
  uint64_t available_bytes;                        /* that the device can still give */
  uint32_t context;                                /* tokens, as it would be opened */
  int fits;
  uint64_t expert_cache_bytes; /* on the device, for copies of experts */
  uint64_t host_bytes;         /* of weights that stay in the host's memory */
} lahar_memory_plan;

/* Would it fit? Loads nothing. `options` may be NULL. Errors: the model's. */
LAHAR_API lahar_status lahar_plan(lahar_model* model, const lahar_engine_options* options, lahar_memory_plan* plan);

/* Loads the model onto a device. `options` may be NULL. The model may be destroyed afterwards. Errors: the model's. */
LAHAR_API lahar_status lahar_engine_open(lahar_model* model, const lahar_engine_options* options, lahar_engine** out);
/* Cancels what is running. Waits for it, except when called inside one of its callbacks. */
LAHAR_API void lahar_engine_destroy(lahar_engine* engine);
LAHAR_API const char* lahar_engine_error(const lahar_engine* engine);
/* Tokens of context that the engine was opened with; 0 for NULL. */
LAHAR_API uint32_t lahar_engine_context(const lahar_engine* engine);

typedef struct lahar_sampling {
  size_t size;
  float temperature; /* 0: greedy */
  uint32_t top_k;    /* 0: off */
  float top_p;       /* 0 or 1: off */
  float min_p;       /* 0: off */
  uint64_t seed;     /* the same seed gives the same text */
} lahar_sampling;

/* What the model's makers advise, else temperature 0.8, top-p 0.95, min-p 0.05; a random seed. Never fails. */
LAHAR_API void lahar_default_sampling(lahar_engine* engine, lahar_sampling* sampling);

typedef struct lahar_alternative {
  int32_t id;
  float logprob; /* as lahar_token's */
} lahar_alternative;

typedef struct lahar_token {
  size_t size;
  int32_t id;         /* -1: no token, only the last bytes of an unfinished character, when all tokens have come */
  const char* text;   /* whole UTF-8 characters that this token completes; lives as long as the call */
  size_t text_length; /* bytes; may be 0 */
  float logprob;      /* natural logarithm of its probability, before temperature and truncation */
  float entropy;      /* of that distribution, in nats */
  uint32_t position;  /* in the sequence */
  const lahar_alternative* alternatives; /* the likeliest first; this token among them where it is one; lives as long as the
                                            call */
  uint32_t alternative_count;            /* 0 where id is -1 or none were asked for */
} lahar_token;

/* Called for each token but those that end the reply. Not zero ends the generation with LAHAR_STOP_CANCELLED. */
typedef int (*lahar_token_callback)(void* user, const lahar_token* token);

typedef enum lahar_stop_reason {
  LAHAR_STOP_TOKEN = 0,   /* the model ended its reply */
  LAHAR_STOP_LENGTH = 1,  /* max_tokens */
  LAHAR_STOP_CONTEXT = 2, /* the context is full */
  LAHAR_STOP_CANCELLED = 3
} lahar_stop_reason;

typedef struct lahar_generate_options {
  size_t size;
  /* Exactly one of the three: token ids, a chat (the object of lahar_apply_template; add_generation_prompt defaults to
     true here), or text that is continued as it is (special tokens that it spells stay text; lahar_tokenize can do more). */
  const int32_t* tokens;
  size_t token_count;
  const char* chat_json;
  const char* text;
  uint32_t max_tokens;            /* 0: until the model stops or the context is full */
  const lahar_sampling* sampling; /* NULL: lahar_default_sampling */
  int ignore_stop_tokens;
  lahar_token_callback callback; /* may be NULL */
  void* user;
  /* The reply begins with these tokens, as if the model had given them: the callback hears of those that follow. */
  const int32_t* reply_tokens;
  size_t reply_count;
} lahar_generate_options;
#define LAHAR_GENERATE_OPTIONS_INIT \
  { sizeof(lahar_generate_options), NULL, 0, NULL, NULL, 0, NULL, 0, NULL, NULL, NULL, 0 }

typedef struct lahar_generate_result {
  size_t size;
  lahar_stop_reason reason;
  uint32_t prompt_tokens;    /* computed */
  uint32_t reused_tokens;    /* of the prompt, still in the cache from the call before, or restored */
  uint32_t generated_tokens; /* one that ended the reply is counted too */
  double prefill_seconds;    /* from the call to the first token */
  double decode_seconds;     /* from the first token to the last */
  /* Of experts in the host's memory; 0 where there are none: how many the steps used, how many of those had a copy in device
   * memory, and the bytes that were copied there meanwhile. */
  uint64_t expert_reads, expert_hits, expert_bytes_copied;
} lahar_generate_result;

/* Blocks until the generation has ended. `result` may be NULL. A generation that lahar_cancel or the callback stops returns
   LAHAR_OK with LAHAR_STOP_CANCELLED; LAHAR_CANCELLED when the engine was destroyed meanwhile (the handle is gone then).
   Errors: the engine's. */
LAHAR_API lahar_status lahar_generate(lahar_engine* engine, const lahar_generate_options* options,
                                      lahar_generate_result* result);
/* Stops the generation that is running, if any, after the token at hand. Any thread. Generations that wait for their turn go
   on. */
LAHAR_API void lahar_cancel(lahar_engine* engine);

/* What the KV cache holds after a generation, as bytes that may be kept anywhere: the sequence's tokens, their keys and
   values, and the states of recurrent layers. Writes them where `capacity` bytes are enough, and how many there are to
   *size; LAHAR_LIMIT (and *size) where they are too few. A capacity of 0, with which `data` may be NULL, asks for the size.
   A cache that holds nothing can be saved too. LAHAR_UNSUPPORTED where tokens have left a streaming cache; LAHAR_CANCELLED
   as with lahar_generate, here and below. Errors: the engine's. */
LAHAR_API lahar_status lahar_save_sequence(lahar_engine* engine, void* data, size_t capacity, size_t* size);
/* Puts what lahar_save_sequence wrote, the `size` bytes of it, into the KV cache in place of what that holds. The next
   prompt that begins with the same tokens goes on from there, as in the engine that they were saved from:
   lahar_generate_result.reused_tokens says of how many. That may have been on another device, by another program and with
   another context, on a machine of the same byte order; the model has to be the same one by its architecture, name, shapes
   and RoPE, and the KV cache of the same type: whether the weights are the same is not looked at.

   Bytes from anywhere are safe: LAHAR_FORMAT where they are damaged, truncated or something else, LAHAR_UNSUPPORTED where
   another version wrote them, LAHAR_INVALID_ARGUMENT where they are another model's or of another KV type, LAHAR_LIMIT where
   the tokens do not fit into the context; the cache is as it was then. After any other error it is empty. Errors: the
   engine's. */
LAHAR_API lahar_status lahar_restore_sequence(lahar_engine* engine, const void* data, size_t size);

/* ---- a look inside -----------------------------------------------------------------------------------------------------
 */
/* All of these may be called at any time, while the engine generates too. Errors: the engine's. */

typedef struct lahar_engine_info {
  size_t size;
  char architecture[64];
  char name[128];   /* the model's own; may be empty */
  char device[256]; /* name */
  uint32_t layers, vocabulary, context;
  uint32_t page_tokens; /* tokens that a page of the KV pool holds, in all layers */
  uint32_t pages;       /* in the pool */
  uint64_t page_bytes;
  uint64_t weights_bytes, kv_bytes, scratch_bytes; /* device memory that the engine holds */
} lahar_engine_info;
LAHAR_API lahar_status lahar_get_engine_info(lahar_engine* engine, lahar_engine_info* info);

typedef struct lahar_layer_info {
  size_t size;
  uint32_t kv_heads, head_dim; /* 0 in layers without a KV cache */
  uint32_t window;             /* tokens that attention sees; 0: all */
} lahar_layer_info;
LAHAR_API lahar_status lahar_get_layer_info(lahar_engine* engine, uint32_t layer, lahar_layer_info* info);

typedef struct lahar_memory {
  size_t size;
  uint64_t used;   /* bytes of device memory that the engine's device has allocated through Lahar */
  uint64_t budget; /* that the process may use in all, as the driver says */
} lahar_memory;
LAHAR_API lahar_status lahar_get_memory(lahar_engine* engine, lahar_memory* memory);

/* Of the KV pool. */
typedef struct lahar_kv_page {
  int32_t sequence; /* that holds it; -1: free */
  uint32_t index;   /* of the page in its sequence */
  uint32_t tokens;  /* that are in it */
} lahar_kv_page;
/* Writes at most `capacity` pages, from page 0 of the pool on, and the number there are to *count. As of the last step that
   has finished. */
LAHAR_API lahar_status lahar_get_kv_pages(lahar_engine* engine, lahar_kv_page* pages, size_t capacity, size_t* count);

/* Bytes of weights, keys and values that a step of one token reads which sees so many tokens; 0 for NULL. */
LAHAR_API uint64_t lahar_step_bytes(lahar_engine* engine, uint32_t context);

/* Bytes that a large copy reads and writes on the engine's device in a second, measured. Takes a moment, and waits for what
   the engine is at. LAHAR_INVALID_ARGUMENT inside one of its callbacks. */
LAHAR_API lahar_status lahar_measure_copy_rate(lahar_engine* engine, double* bytes_per_second);

/* Work goes to the device in pieces of about so many milliseconds, and never more than two of them: what the application
   draws with the same device waits no longer than that. Smaller is smoother and slower. 0: whole steps. At most 1000. */
LAHAR_API lahar_status lahar_set_time_slice(lahar_engine* engine, float milliseconds);

/* One dispatch or copy of a step. */
typedef struct lahar_trace_node {
  char label[64];               /* "qkv" */
  char kernel[64];              /* "gemv q4_0" */
  int32_t layer;                /* -1: outside the layers */
  double begin_ns, duration_ns; /* since the step's first node began; 0 where the device has no timestamps */
  uint64_t bytes;               /* that it reads and writes, about */
} lahar_trace_node;

typedef struct lahar_trace {
  size_t size;
  uint64_t serial;  /* of the trace: how many there have been; 0: none yet */
  uint32_t context; /* tokens that the step's row saw */
  int timed;        /* whether the device gave timestamps */
} lahar_trace;

/* The next step that generates a token runs by itself, with timestamps around each node. */
LAHAR_API lahar_status lahar_request_trace(lahar_engine* engine);
/* The last trace: at most `capacity` nodes, and the number there are to *count. */
LAHAR_API lahar_status lahar_get_trace(lahar_engine* engine, lahar_trace* trace, lahar_trace_node* nodes, size_t capacity,
                                       size_t* count);

#ifdef __cplusplus
}
#endif

#endif
