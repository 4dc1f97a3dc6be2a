#include "gpu/instance.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "gpu/error.h"
#include "gpu/instance_state.h"
#include "gpu/physical_device.h"

namespace lahar::gpu {
namespace {

constexpr const char* kLayer = "VK_LAYER_KHRONOS_validation";

Validation from_environment() {
  const char* value = std::getenv("LAHAR_VALIDATION");
  if (value == nullptr || std::strcmp(value, "") == 0 || std::strcmp(value, "0") == 0) return Validation::kOff;
  return std::strcmp(value, "gpu") == 0 ? Validation::kGpuAssisted : Validation::kOn;
}

// What the layer says of itself (that it adjusted its own settings), not of what it watches.
bool about_the_layer(const char* id) {
  if (id == nullptr) return false;
  for (const char* own :
       {"VALIDATION-SETTINGS", "WARNING-Setting-Limit-Adjusted", "WARNING-GPU-Assisted-Validation", "WARNING-cache-"})
    if (std::strncmp(id, own, std::strlen(own)) == 0) return true;
  return false;
}

VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkDebugUtilsMessageTypeFlagsEXT,
                                          const VkDebugUtilsMessengerCallbackDataEXT* data, void* user) {
  auto* state = static_cast<InstanceState*>(user);
  if (about_the_layer(data->pMessageIdName)) {
    state->log.debug(data->pMessage);
    return VK_FALSE;
  }
  if (severity >= VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT) {
    state->messages.fetch_add(1, std::memory_order_relaxed);
    state->log.error(std::string("validation: ") + data->pMessage);
  }
  return VK_FALSE;
}

std::vector<std::string> extension_names(const LoaderTable& loader, const char* layer) {
  uint32_t n = 0;
  loader.vkEnumerateInstanceExtensionProperties(layer, &n, nullptr);
  std::vector<VkExtensionProperties> properties(n);
  loader.vkEnumerateInstanceExtensionProperties(layer, &n, properties.data());
  std::vector<std::string> names;
  for (uint32_t i = 0; i < n; ++i) names.emplace_back(properties[i].extensionName);
  return names;
}

bool has_layer(const LoaderTable& loader, std::string_view name) {
  uint32_t n = 0;
  loader.vkEnumerateInstanceLayerProperties(&n, nullptr);
  std::vector<VkLayerProperties> layers(n);
  loader.vkEnumerateInstanceLayerProperties(&n, layers.data());
  return std::any_of(layers.begin(), layers.begin() + n, [&](const VkLayerProperties& l) { return name == l.layerName; });
}

}  // namespace

Result<std::shared_ptr<Instance>> Instance::create(InstanceOptions options) {
  LAHAR_ASSIGN(const LoaderTable loader, open_loader());
  uint32_t version = VK_API_VERSION_1_0;
  if (loader.vkEnumerateInstanceVersion != nullptr) loader.vkEnumerateInstanceVersion(&version);
  if (version < VK_API_VERSION_1_3)
    return Error{ErrorCode::kUnsupported, "the Vulkan loader is version " + std::to_string(VK_API_VERSION_MAJOR(version)) +
                                              "." + std::to_string(VK_API_VERSION_MINOR(version)) +
                                              "; 1.3 or newer is needed"};

  Validation validation = options.validation;
  if (validation == Validation::kFromEnvironment) validation = from_environment();
  const bool validated = validation != Validation::kOff;
  if (validated && !has_layer(loader, kLayer))
    return Error{ErrorCode::kNotFound, std::string("validation was asked for, but ") + kLayer +
                                           " is not installed (Debian, Ubuntu: vulkan-validationlayers)"};

  std::vector<std::string> available = extension_names(loader, nullptr);
  if (validated)
    for (std::string& name : extension_names(loader, kLayer)) available.push_back(std::move(name));
  std::vector<const char*> extensions;
  const auto enable = [&](const char* name) {
    if (std::find(available.begin(), available.end(), name) == available.end()) return false;
    extensions.push_back(name);
    return true;
  };

  std::shared_ptr<Instance> instance(new Instance);
  instance->log_ = options.log;
  instance->state_ = std::make_unique<State>();
  instance->state_->log = options.log;

  const char* labels = std::getenv("LAHAR_LABELS");
  const bool labelled = validated || (labels != nullptr && std::strcmp(labels, "1") == 0);
  VkDebugUtilsMessengerCreateInfoEXT messenger{VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT};
  messenger.messageSeverity =
      VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
  messenger.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT;
  messenger.pfnUserCallback = on_message;
  messenger.pUserData = instance->state_.get();

  std::vector<VkValidationFeatureEnableEXT> enables{VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
  if (validation == Validation::kGpuAssisted) {
    enables.push_back(VK_VALIDATION_FEATURE_ENABLE_GPU_ASSISTED_EXT);
    enables.push_back(VK_VALIDATION_FEATURE_ENABLE_GPU_ASSISTED_RESERVE_BINDING_SLOT_EXT);
  }
  VkValidationFeaturesEXT features{VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT};
  features.enabledValidationFeatureCount = static_cast<uint32_t>(enables.size());
  features.pEnabledValidationFeatures = enables.data();

  VkApplicationInfo application{VK_STRUCTURE_TYPE_APPLICATION_INFO};
  application.pApplicationName = application.pEngineName = "lahar";
  application.apiVersion = VK_API_VERSION_1_3;
  VkInstanceCreateInfo info{VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO};
  info.pApplicationInfo = &application;
  if (enable(VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME)) info.flags |= VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR;
  const bool debug_utils = labelled && enable(VK_EXT_DEBUG_UTILS_EXTENSION_NAME);
  if (validated && debug_utils) {
    info.ppEnabledLayerNames = &kLayer;
    info.enabledLayerCount = 1;
    info.pNext = &messenger;  // for messages of vkCreateInstance and vkDestroyInstance themselves
    if (enable(VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME)) messenger.pNext = &features;
  }
  info.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
  info.ppEnabledExtensionNames = extensions.data();
  const VkResult result = loader.vkCreateInstance(&info, nullptr, &instance->handle_);
  if (result == VK_ERROR_INCOMPATIBLE_DRIVER)
    return Error{ErrorCode::kNotFound,
                 "no Vulkan driver on this machine; install the one of your GPU (Debian, Ubuntu: mesa-vulkan-drivers, or "
                 "NVIDIA's own)"};
  LAHAR_VK(result, "vkCreateInstance");

  InstanceTable& fn = instance->state_->fn;
  fn = load_instance_table(loader, instance->handle_);
  instance->state_->labels = debug_utils && fn.vkCmdBeginDebugUtilsLabelEXT != nullptr;
  if (validated && fn.vkCreateDebugUtilsMessengerEXT != nullptr) {
    messenger.pNext = nullptr;
    LAHAR_VK(fn.vkCreateDebugUtilsMessengerEXT(instance->handle_, &messenger, nullptr, &instance->state_->messenger),
             "vkCreateDebugUtilsMessengerEXT");
  }
  return instance;
}

Result<std::shared_ptr<Instance>> Instance::import(VkInstance handle, PFN_vkGetInstanceProcAddr get, Log log) {
  if (handle == VK_NULL_HANDLE) return Error{ErrorCode::kInvalidArgument, "the imported VkInstance is null"};
  LoaderTable loader;
  loader.get_instance_proc_addr = get;
  if (get == nullptr) { LAHAR_ASSIGN(loader, open_loader()); }
  std::shared_ptr<Instance> instance(new Instance);
  instance->log_ = log;
  instance->state_ = std::make_unique<State>();
  instance->state_->log = std::move(log);
  instance->state_->borrowed = true;
  instance->state_->fn = load_instance_table(loader, handle);
  instance->handle_ = handle;
  return instance;
}

Instance::~Instance() {
  if (handle_ == VK_NULL_HANDLE || state_->borrowed) return;
  if (state_->messenger != VK_NULL_HANDLE) state_->fn.vkDestroyDebugUtilsMessengerEXT(handle_, state_->messenger, nullptr);
  state_->fn.vkDestroyInstance(handle_, nullptr);
}

std::vector<DeviceInfo> Instance::devices() const {
  uint32_t n = 0;
  if (state_->fn.vkEnumeratePhysicalDevices(handle_, &n, nullptr) < VK_SUCCESS) return {};
  std::vector<VkPhysicalDevice> handles(n);
  if (state_->fn.vkEnumeratePhysicalDevices(handle_, &n, handles.data()) < VK_SUCCESS) return {};
  handles.resize(n);
  std::vector<DeviceInfo> devices;
  for (VkPhysicalDevice handle : handles) devices.push_back(describe(PhysicalDevice(state_->fn, handle)));
  put_in_order(devices);
  return devices;
}

Result<DeviceInfo> Instance::select(std::string_view selector) const { return select_device(devices(), selector); }

uint64_t Instance::validation_messages() const { return state_->messages.load(std::memory_order_relaxed); }

}  // namespace lahar::gpu
