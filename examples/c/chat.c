/* A question to a model, in C: chat [MODEL [QUESTION]]
   Without a model it asks the built-in one. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lahar/lahar.h"
#include "lahar/pumice.h"

/* Passed through the library's `void* user` to the callbacks. */
struct chat {
  uint32_t tokens;
};

static void on_log(void* user, lahar_log_level level, const char* text) {
  (void)user;
  fprintf(stderr, "%s%s\n", level >= LAHAR_LOG_ERROR ? "error: " : "", text);
}

static int on_progress(void* user, uint64_t done, uint64_t total) {
  (void)user;
  if (done == total) fprintf(stderr, "loaded %" PRIu64 " KiB\n", total / 1024);
  return 0; /* go on */
}

static int on_token(void* user, const lahar_token* token) {
  struct chat* chat = user;
  if (token->id >= 0) ++chat->tokens;
  fwrite(token->text, 1, token->text_length, stdout);
  fflush(stdout);
  return 0; /* go on */
}

static int fail(const char* what, lahar_status status, const char* error) {
  fprintf(stderr, "%s: %s: %s\n", what, lahar_status_name(status), error);
  return 1;
}

static int list_devices(lahar_runtime* runtime) {
  lahar_device devices[8];
  size_t count = 0;
  for (size_t i = 0; i < 8; ++i) devices[i].size = sizeof(lahar_device);
  const lahar_status status = lahar_list_devices(runtime, devices, 8, &count);
  if (status != LAHAR_OK) return fail("list the devices", status, lahar_runtime_error(runtime));
  for (size_t i = 0; i < count && i < 8; ++i) {
    printf("device %" PRIu32 ": %s", devices[i].index, devices[i].name);
    if (devices[i].refusal[0] != '\0') printf(" (cannot be used: %s)", devices[i].refusal);
    printf("\n");
  }
  return 0;
}

/* `text` as a JSON string. `json` has room for 6 times its length, quotes and the NUL. */
static void write_json_string(const char* text, char* json) {
  *json++ = '"';
  for (; *text != '\0'; ++text) {
    if (*text == '"' || *text == '\\') {
      *json++ = '\\';
      *json++ = *text;
    } else if ((unsigned char)*text < 0x20) {
      json += sprintf(json, "\\u%04x", (unsigned)*text);
    } else {
      *json++ = *text;
    }
  }
  *json++ = '"';
  *json = '\0';
}

static int ask(lahar_engine* engine, const char* question) {
  char quoted[6 * 1000 + 3], json[sizeof(quoted) + 64];
  if (strlen(question) > 1000) return fail("ask", LAHAR_LIMIT, "a question of at most 1000 bytes was expected");
  write_json_string(question, quoted);
  snprintf(json, sizeof(json), "{\"messages\": [{\"role\": \"user\", \"content\": %s}]}", quoted);

  struct chat chat = {0};
  lahar_sampling greedy = {0}; /* temperature 0: the likeliest token, always */
  greedy.size = sizeof(greedy);
  lahar_generate_options options = LAHAR_GENERATE_OPTIONS_INIT;
  options.chat_json = json;
  options.max_tokens = 200;
  options.sampling = &greedy;
  options.callback = on_token;
  options.user = &chat;
  lahar_generate_result result = {0};
  result.size = sizeof(result);
  const lahar_status status = lahar_generate(engine, &options, &result);
  printf("\n");
  if (status != LAHAR_OK) return fail("generate", status, lahar_engine_error(engine));
  fprintf(stderr, "%" PRIu32 " tokens in %.0f ms, the first after %.0f ms\n", chat.tokens,
          1e3 * (result.prefill_seconds + result.decode_seconds), 1e3 * result.prefill_seconds);
  return 0;
}

static int chat(lahar_runtime* runtime, const char* path, const char* question) {
  lahar_model* model = NULL;
  lahar_status status;
  if (path != NULL) {
    status = lahar_model_open(runtime, path, &model);
  } else {
    size_t size = 0;
    const void* data = lahar_pumice_data(&size);
    status = lahar_model_open_memory(runtime, data, size, &model);
  }
  if (status != LAHAR_OK) return fail("open the model", status, lahar_runtime_error(runtime));

  lahar_engine* engine = NULL;
  lahar_engine_options options = LAHAR_ENGINE_OPTIONS_INIT;
  options.progress = on_progress;
  lahar_memory_plan plan = {0};
  plan.size = sizeof(plan);
  status = lahar_plan(model, &options, &plan);
  if (status == LAHAR_OK) {
    printf("needs %" PRIu64 " KiB for %" PRIu32 " tokens, %" PRIu64 " KiB are free: %s\n",
           (plan.weights_bytes + plan.kv_bytes + plan.scratch_bytes) / 1024, plan.context, plan.available_bytes / 1024,
           plan.fits ? "fits" : "does not fit");
    status = lahar_engine_open(model, &options, &engine);
  }
  if (status != LAHAR_OK) {
    const int code = fail("open the engine", status, lahar_model_error(model));
    lahar_model_destroy(model);
    return code;
  }
  lahar_model_destroy(model); /* the engine keeps what it needs */

  printf("> %s\n", question);
  const int code = ask(engine, question);
  lahar_engine_destroy(engine);
  return code;
}

int main(int argc, char** argv) {
  lahar_runtime_options options = LAHAR_RUNTIME_OPTIONS_INIT;
  options.log = on_log;
  options.log_level = LAHAR_LOG_WARNING;
  lahar_runtime* runtime = NULL;
  const lahar_status status = lahar_runtime_create(&options, &runtime);
  if (status != LAHAR_OK) return fail("create a runtime", status, "");
  int code = list_devices(runtime);
  if (code == 0) code = chat(runtime, argc > 1 ? argv[1] : NULL, argc > 2 ? argv[2] : "What is the capital of Japan?");
  lahar_runtime_destroy(runtime);
  return code;
}
