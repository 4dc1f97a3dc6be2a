/* The header as C11 sees it, and what a program in C relies on. */
#include "lahar/lahar.h"
#include "lahar/pumice.h"

/* The *_INIT macros, and the size of each struct, for the tests in C++ to compare with their own. */
size_t lahar_test_c_size(int which);
int lahar_test_c_init_is_right(void);
lahar_status lahar_test_c_round_trip(void);

size_t lahar_test_c_size(int which) {
  switch (which) {
    case 0: return sizeof(lahar_runtime_options);
    case 1: return sizeof(lahar_device);
    case 2: return sizeof(lahar_engine_options);
    case 3: return sizeof(lahar_memory_plan);
    case 4: return sizeof(lahar_sampling);
    case 5: return sizeof(lahar_token);
    case 6: return sizeof(lahar_generate_options);
    case 7: return sizeof(lahar_generate_result);
    default: return 0;
  }
}

int lahar_test_c_init_is_right(void) {
  const lahar_runtime_options runtime = LAHAR_RUNTIME_OPTIONS_INIT;
  const lahar_engine_options engine = LAHAR_ENGINE_OPTIONS_INIT;
  const lahar_generate_options generate = LAHAR_GENERATE_OPTIONS_INIT;
  return runtime.size == sizeof(runtime) && engine.size == sizeof(engine) && generate.size == sizeof(generate) &&
         runtime.log == NULL && engine.device == NULL && generate.tokens == NULL && generate.user == NULL &&
         engine.rope_scaling == LAHAR_ROPE_DEFAULT && engine.rope_original_context == 0 && engine.rope_scale == 0;
}

/* Opens the built-in model, and closes it. */
lahar_status lahar_test_c_round_trip(void) {
  lahar_runtime* runtime = NULL;
  lahar_model* model = NULL;
  lahar_status status = lahar_runtime_create(NULL, &runtime);
  if (status == LAHAR_OK) {
    size_t size = 0;
    const void* data = lahar_pumice_data(&size);
    status = lahar_model_open_memory(runtime, data, size, &model);
  }
  lahar_runtime_destroy(runtime);
  lahar_model_destroy(model);
  return status;
}
