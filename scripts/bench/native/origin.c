// The upstream behind instances and their peers: HTTP/1.1 with keep-alive, `origin ADDRESS...`, each a port of loopback or unix:PATH.
//   GET /bytes/N   N octets        POST anything   the body is read, 200        GET /events   an event a second, for ever
//   anything else  200 and 93 octets
#include "net.h"

#define CHUNK (256 * 1024)
#define HEAD_ROOM 16384
#define TICKS 100 // of 10 ms: streams have their event at different times of the second

struct connection {
  int fd, is_listener, is_stream, is_blocked, tick, head_length;
  uint64_t to_send, to_read;
  struct connection *next; // of the same tick
  char head[HEAD_ROOM];
};
static char buffer[CHUNK];
static int epoll;
static struct connection *streams[TICKS];
static int next_tick;

static void finish(struct connection *c) {
  if (c->is_stream) {
    struct connection **at = &streams[c->tick];
    while (*at != c) at = &(*at)->next;
    *at = c->next;
  }
  close(c->fd);
  free(c);
}

static void send_more(struct connection *c) {
  while (c->to_send > 0) {
    ssize_t n = write(c->fd, buffer, c->to_send < CHUNK ? c->to_send : CHUNK);
    if (n <= 0) {
      if (!c->is_blocked) rewatch(epoll, c->fd, EPOLLIN | EPOLLOUT, c);
      c->is_blocked = 1;
      return;
    }
    c->to_send -= (uint64_t)n;
  }
  if (c->is_blocked) rewatch(epoll, c->fd, EPOLLIN, c);
  c->is_blocked = 0;
}

static void say(struct connection *c, const char *text) {
  size_t length = strlen(text);
  if (write(c->fd, text, length) != (ssize_t)length) shutdown(c->fd, SHUT_RDWR);
}

#define OK "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#define SHORT "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"twenty octets inside\"}]}}"
// One octet more than was announced, and no proxy uses the connection again.
_Static_assert(sizeof SHORT - 1 == 93, "Content-Length");
static void say_short(struct connection *c) { say(c, OK "Content-Length: 93\r\n\r\n" SHORT); }

static void begin_stream(struct connection *c) {
  c->is_stream = 1;
  c->tick = next_tick++ % TICKS;
  c->next = streams[c->tick];
  streams[c->tick] = c;
  say(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n");
}

static void answer(struct connection *c) {
  char line[128];
  const char *length = strcasestr(c->head, "\r\ncontent-length:");
  if (strcasestr(c->head, "\r\ntransfer-encoding:")) die("this origin reads no chunked bodies");
  if (strncmp(c->head, "GET /bytes/", 11) == 0) {
    c->to_send = strtoull(c->head + 11, NULL, 10);
    snprintf(line, sizeof line, OK "Content-Length: %lu\r\n\r\n", c->to_send);
    say(c, line);
    send_more(c);
  } else if (strncmp(c->head, "GET /events", 11) == 0) {
    begin_stream(c);
  } else if (length != NULL && (c->to_read = strtoull(length + 17, NULL, 10)) > 0) {
    // answered when the body is here
  } else {
    say_short(c);
  }
}

static void take(struct connection *c, char *octets, size_t n) {
  while (n > 0) {
    if (c->to_read > 0) {
      uint64_t part = n < c->to_read ? n : c->to_read;
      c->to_read -= part;
      octets += part;
      n -= part;
      if (c->to_read == 0) say_short(c);
      continue;
    }
    size_t part = n < HEAD_ROOM - 1 - (size_t)c->head_length ? n : HEAD_ROOM - 1 - (size_t)c->head_length;
    memcpy(c->head + c->head_length, octets, part);
    c->head[c->head_length + (int)part] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (end == NULL) {
      c->head_length += (int)part;
      return;
    }
    size_t used = (size_t)(end + 4 - c->head) - (size_t)c->head_length;
    end[2] = 0;
    c->head_length = 0;
    answer(c);
    octets += used;
    n -= used;
  }
}

static void tick(int number) {
  char event[96];
  for (struct connection *c = streams[number], *next; c != NULL; c = next) {
    next = c->next;
    char data[80];
    int length = snprintf(data, sizeof data, "data: {\"at\":%020lu}\n\n", now_ns());
    snprintf(event, sizeof event, "%x\r\n%s\r\n", length, data);
    say(c, event);
  }
}

static void serve(struct connection *c, uint32_t events) {
  if (c->is_listener) {
    for (int fd; (fd = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
      no_delay(fd);
      struct connection *accepted = calloc(1, sizeof *accepted);
      accepted->fd = fd;
      watch(epoll, fd, EPOLLIN, accepted);
    }
    return;
  }
  if (events & EPOLLOUT) send_more(c);
  if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  static char received[CHUNK];
  ssize_t n = read(c->fd, received, CHUNK);
  if (n == 0 || (n < 0 && errno != EAGAIN)) finish(c);
  else if (n > 0) take(c, received, (size_t)n);
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  memset(buffer, 'x', sizeof buffer);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 1; i < argc; i++) {
    struct connection *c = calloc(1, sizeof *c);
    c->fd = listen_on(argv[i]);
    c->is_listener = 1;
    watch(epoll, c->fd, EPOLLIN, c);
  }
  printf("ready\n");
  fflush(stdout);
  uint64_t due = now_ns();
  for (int number = 0;;) {
    struct epoll_event events[256];
    int count = epoll_wait(epoll, events, 256, next_tick > 0 ? 10 : -1);
    for (int i = 0; i < count; i++) serve(events[i].data.ptr, events[i].events);
    if (next_tick == 0) continue;
    if (now_ns() > due + 1000000000u) due = now_ns(); // the first stream, or we were held up
    for (; now_ns() >= due; due += 1000000000u / TICKS, number = (number + 1) % TICKS) tick(number);
  }
}
