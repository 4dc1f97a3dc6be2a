// What LeakSanitizer passes over in the demo's tests: what others keep for as long as the process lives.
extern "C" const char* __lsan_default_suppressions();  // NOLINT: its name is LeakSanitizer's
extern "C" const char* __lsan_default_suppressions() {
  return
      // Mesa's drivers and the LLVM inside them keep tables of their own when a device goes.
      "leak:libvulkan_lvp\n"
      "leak:libLLVM\n"
      // fontconfig keeps strings and patterns beyond FcFini().
      "leak:libfontconfig\n"
      // The loader keeps what it knows of layers and drivers; the validation layer its own settings.
      "leak:libVkLayer_khronos_validation\n"
      // libX11's tables of locales and input methods.
      "leak:libX11\n";
}
