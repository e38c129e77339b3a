// Loads a dispatcher: a real ClientHello, then octets that nobody encrypts, so that client and server cost next to nothing beside what is
// measured. Words: mode=connect|pairs|download|upload|hold to=PORT name=NAME connections=N seconds=S octets=N
// With names=FILE (a name a line) each connection is for the next name.
#include "client.h"
#include <openssl/ssl.h>

#define MESSAGE 64
struct slot {
  int fd, is_greeted;
  uint64_t sent_at, left, unsent;
};
static unsigned char hello[2048], buffer[256 * 1024];
static int hello_length, epoll;
static unsigned opened;
static const char *mode, *to;
static struct lines names;
static SSL_CTX *context;
static uint64_t octets_each;

static void make_hello(const char *name) {
  SSL *ssl = SSL_new(context);
  BIO *out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
  SSL_set_tlsext_host_name(ssl, name);
  SSL_connect(ssl); // wants an answer, and has written its hello
  hello_length = BIO_read(out, hello, sizeof hello);
  SSL_free(ssl);
}

static void start(struct slot *s) {
  s->is_greeted = 0;
  s->sent_at = now_ns();
  s->fd = open_to(to, opened++);
  if (s->fd < 0) die("connect");
  watch(epoll, s->fd, EPOLLOUT, s);
}

static void send_hello(struct slot *s) {
  if (names.count > 0) make_hello(next_line(&names));
  if (write(s->fd, hello, (size_t)hello_length) != hello_length) failed++;
  rewatch(epoll, s->fd, EPOLLIN, s);
}

static void send_message(struct slot *s) {
  static const char message[MESSAGE] = "E";
  s->sent_at = now_ns();
  s->left = MESSAGE;
  if (write(s->fd, message, MESSAGE) != MESSAGE) failed++;
}

static void upload_more(struct slot *s) {
  while (s->unsent > 0) {
    ssize_t n = write(s->fd, buffer, s->unsent < sizeof buffer ? s->unsent : sizeof buffer);
    if (n <= 0) return;
    s->unsent -= (uint64_t)n;
  }
  rewatch(epoll, s->fd, EPOLLIN, s);
}

static void send_command(struct slot *s) {
  unsigned char command[9] = {mode[0] == 'd' ? 'D' : 'U'};
  memcpy(command + 1, &octets_each, 8);
  s->sent_at = now_ns();
  s->left = mode[0] == 'd' ? octets_each : 1;
  if (write(s->fd, command, 9) != 9) failed++;
  if (mode[0] != 'u') return;
  s->unsent = octets_each;
  rewatch(epoll, s->fd, EPOLLIN | EPOLLOUT, s);
}

static void again(struct slot *s) {
  close(s->fd);
  start(s);
}

// One round of the loop. Returns how many connections were greeted, or units done, in it.
static unsigned turn(int timeout_ms) {
  struct epoll_event events[256];
  unsigned done = 0;
  int count = epoll_wait(epoll, events, 256, timeout_ms);
  for (int i = 0; i < count; i++) {
    struct slot *s = events[i].data.ptr;
    if (s->unsent > 0 && (events[i].events & EPOLLOUT)) upload_more(s);
    else if (events[i].events == EPOLLOUT) send_hello(s);
    if (!(events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) continue;
    ssize_t n = read(s->fd, buffer, sizeof buffer);
    if (n < 0 && errno == EAGAIN) continue;
    if (n <= 0 || (!s->is_greeted && buffer[0] != 'S')) {
      failed++;
      if (failed > 1000) die("too many connections failed");
      again(s);
    } else if (!s->is_greeted) {
      s->is_greeted = 1;
      done++;
      if (mode[0] != 'c') continue;
      add_sample(now_ns() - s->sent_at);
      again(s);
    } else {
      octets += (uint64_t)n;
      s->left -= (uint64_t)n < s->left ? (uint64_t)n : s->left;
      if (s->left > 0) continue;
      done++;
      add_sample(now_ns() - s->sent_at);
      if (mode[0] == 'p') send_message(s);
    }
  }
  return done;
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  word_count = argc;
  words = argv;
  mode = word("mode", NULL);
  to = word("to", NULL);
  context = SSL_CTX_new(TLS_client_method());
  make_hello(word("name", "bench.example"));
  if (*word("names", "")) read_lines(&names, word("names", ""));
  epoll = epoll_create1(EPOLL_CLOEXEC);
  unsigned connections = (unsigned)number("connections", "1");
  octets_each = (uint64_t)number("octets", "0");
  struct slot *slots = calloc(connections, sizeof *slots);
  int is_connect = mode[0] == 'c';
  if (!is_connect) {
    // A hundred at a time: the benchmark is not about a full backlog.
    for (unsigned begun = 0, greeted = 0; greeted < connections; greeted += turn(1000))
      for (; begun < connections && begun < greeted + 100; begun++) start(&slots[begun]);
  }
  ready_and_go();
  if (mode[0] == 'h') {
    report("");
    return 0;
  }
  uint64_t end = started_at + (uint64_t)(number("seconds", "1") * 1e9);
  for (unsigned i = 0; i < connections; i++) {
    if (is_connect) start(&slots[i]);
    else if (mode[0] == 'p') send_message(&slots[i]);
    else send_command(&slots[i]);
  }
  if (mode[0] == 'd' || mode[0] == 'u') {
    while (units < connections) units += turn(1000);
    octets = octets_each * connections;
  } else {
    while (now_ns() < end) units += turn(100);
  }
  report("");
}
