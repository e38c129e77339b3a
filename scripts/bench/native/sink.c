// The server behind a dispatcher under test, as cheap as a server can be: `sink ADDRESS...`, each a port of loopback or unix:PATH.
// It skips a PROXY header (v1 or v2) if there is one and the ClientHello (one TLS record), answers with one octet, and then does as it is told:
//   E + 63 octets   sent back as they came
//   D + u64         that many octets are sent
//   U + u64         that many octets are read, and one is sent
#include "net.h"

#define CHUNK (256 * 1024)
static const unsigned char PROXY_SIGNATURE[12] = "\r\n\r\n\0\r\nQUIT\n";

struct connection {
  int fd, is_listener, prefix_length, is_past_hello;
  uint64_t to_send, to_read;
  unsigned char prefix[4096];
};
static unsigned char buffer[CHUNK];
static int epoll;

static void finish(struct connection *c) {
  close(c->fd);
  free(c);
}

// Length of PROXY header and hello at the front of the prefix; 0 while they are not whole.
static int preamble_length(const struct connection *c) {
  int at = 0;
  if (c->prefix_length < 16) return 0;
  if (memcmp(c->prefix, PROXY_SIGNATURE, 12) == 0) at = 16 + (c->prefix[14] << 8 | c->prefix[15]);
  if (memcmp(c->prefix, "PROXY ", 6) == 0) {
    const unsigned char *end = memchr(c->prefix, '\n', (size_t)c->prefix_length);
    if (end == NULL) return 0;
    at = (int)(end + 1 - c->prefix);
  }
  if (c->prefix_length < at + 5) return 0;
  int whole = at + 5 + (c->prefix[at + 3] << 8 | c->prefix[at + 4]);
  return c->prefix_length < whole ? 0 : whole;
}

static void send_more(struct connection *c) {
  while (c->to_send > 0) {
    ssize_t n = write(c->fd, buffer, c->to_send < CHUNK ? c->to_send : CHUNK);
    if (n <= 0) {
      if (n < 0 && errno == EAGAIN) rewatch(epoll, c->fd, EPOLLIN | EPOLLOUT, c);
      return;
    }
    c->to_send -= (uint64_t)n;
    if (c->to_send == 0) rewatch(epoll, c->fd, EPOLLIN, c);
  }
}

static void take(struct connection *c, unsigned char *octets, ssize_t n) {
  if (n <= 0) return;
  if (c->to_read > 0) {
    uint64_t part = (uint64_t)n < c->to_read ? (uint64_t)n : c->to_read;
    c->to_read -= part;
    if (c->to_read == 0 && write(c->fd, "R", 1) < 0) return;
    take(c, octets + part, n - (ssize_t)part);
  } else if (octets[0] == 'E') {
    if (write(c->fd, octets, (size_t)n) < n) return; // 64 octets always fit
  } else if (n >= 9 && (octets[0] == 'D' || octets[0] == 'U')) {
    memcpy(octets[0] == 'D' ? &c->to_send : &c->to_read, octets + 1, 8);
    if (c->to_send > 0) send_more(c);
    take(c, octets + 9, n - 9);
  }
}

static void read_preamble(struct connection *c) {
  ssize_t n = read(c->fd, c->prefix + c->prefix_length, sizeof c->prefix - (size_t)c->prefix_length);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return finish(c);
  c->prefix_length += (int)n;
  int length = preamble_length(c);
  if (length == 0) return;
  c->is_past_hello = 1;
  if (write(c->fd, "S", 1) == 1) take(c, c->prefix + length, c->prefix_length - length);
}

static void accept_all(struct connection *listener) {
  for (;;) {
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    no_delay(fd);
    struct connection *c = calloc(1, sizeof *c);
    c->fd = fd;
    watch(epoll, fd, EPOLLIN, c);
  }
}

static void serve(struct connection *c, uint32_t events) {
  if (c->is_listener) return accept_all(c);
  if (events & EPOLLOUT) send_more(c);
  if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  if (!c->is_past_hello) return read_preamble(c);
  // What is read is not looked at beyond its command, so one buffer does for both ways.
  ssize_t n = read(c->fd, buffer, CHUNK);
  if (n == 0 || (n < 0 && errno != EAGAIN)) return finish(c);
  take(c, buffer, n);
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 1; i < argc; i++) {
    struct connection *c = calloc(1, sizeof *c);
    c->fd = listen_on(argv[i]);
    c->is_listener = 1;
    watch(epoll, c->fd, EPOLLIN, c);
  }
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[256];
    int count = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < count; i++) serve(events[i].data.ptr, events[i].events);
  }
}
