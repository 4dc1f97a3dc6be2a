// close_window ID: asks an X11 window to close, as a window manager does when its cross is clicked.
#include <X11/Xlib.h>

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  Display* const display = XOpenDisplay(nullptr);
  if (argc != 2 || display == nullptr) {
    std::fprintf(stderr, "usage, on a display: close_window ID\n");
    return 2;
  }
  XEvent event{};
  event.xclient.type = ClientMessage;
  event.xclient.window = std::strtoul(argv[1], nullptr, 0);
  event.xclient.message_type = XInternAtom(display, "WM_PROTOCOLS", False);
  event.xclient.format = 32;
  event.xclient.data.l[0] = static_cast<long>(XInternAtom(display, "WM_DELETE_WINDOW", False));
  const Status sent = XSendEvent(display, event.xclient.window, False, NoEventMask, &event);
  XCloseDisplay(display);  // sends what is waiting
  return sent != 0 ? 0 : 1;
}
