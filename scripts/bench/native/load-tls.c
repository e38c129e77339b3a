// Loads what terminates TLS. Words: mode=requests|handshakes|download|upload|events|first to=PORT|unix:PATH name=NAME host=NAME:PORT
// path=PATH connections=N seconds=S octets=N resume=0|1 tokens=FILE (one a line, in turn) first=N (which is the first) proxy=0|1
// settle=S (seconds for which events are read before the work)
// Certificates are not verified: that is the client's work, and it is not the client that is measured.
#include "client.h"
#include <openssl/ssl.h>

enum phase { CONNECTING, HANDSHAKE, IDLE, SENDING, READING };
struct slot {
  int fd;
  enum phase phase;
  SSL *ssl;
  SSL_SESSION *session;
  uint64_t begun_at, left, unsent;
  int has_head;
};
static SSL_CTX *context;
static int epoll, is_running;
static unsigned opened;
static uint64_t resumed, end_at, octets_each;
static const char *mode, *to, *name, *host, *path;
static struct lines tokens;
static char buffer[256 * 1024];

static int keep_session(SSL *ssl, SSL_SESSION *session) {
  struct slot *s = SSL_get_app_data(ssl);
  SSL_SESSION_free(s->session);
  s->session = session;
  return 1; // ours now
}

static void start(struct slot *s) {
  s->begun_at = now_ns();
  s->fd = open_to(to, opened++);
  if (s->fd < 0) {
    failed++;
    return;
  }
  s->ssl = SSL_new(context);
  SSL_set_app_data(s->ssl, s);
  SSL_set_fd(s->ssl, s->fd);
  SSL_set_tlsext_host_name(s->ssl, name);
  SSL_set_connect_state(s->ssl);
  if (s->session != NULL && *word("resume", "0") == '1') {
    // A copy: OpenSSL marks a session that was used as used up, and Node's server gives no new ticket on resumption.
    SSL_SESSION *copy = SSL_SESSION_dup(s->session);
    SSL_set_session(s->ssl, copy);
    SSL_SESSION_free(copy);
  }
  s->phase = CONNECTING;
  watch(epoll, s->fd, EPOLLOUT, s);
}

static void stop(struct slot *s) {
  SSL_shutdown(s->ssl);
  SSL_free(s->ssl);
  s->ssl = NULL;
  close(s->fd);
}

static void wait_for(struct slot *s, int result) {
  int wants = SSL_get_error(s->ssl, result);
  rewatch(epoll, s->fd, wants == SSL_ERROR_WANT_WRITE ? EPOLLOUT : EPOLLIN, s);
}

static void begin_request(struct slot *s) {
  char head[12288], authorization[8300] = "", length[64] = "";
  if (tokens.count > 0)
    snprintf(authorization, sizeof authorization, "Authorization: Bearer %s\r\n", next_line(&tokens));
  int is_upload = mode[0] == 'u';
  if (is_upload) snprintf(length, sizeof length, "Content-Length: %lu\r\n", octets_each);
  int n = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n", is_upload ? "POST" : "GET", path, host, authorization, length);
  if (mode[0] != 'h' && mode[0] != 'f') s->begun_at = now_ns();
  s->has_head = 0;
  s->left = 0;
  s->unsent = is_upload ? octets_each : 0;
  if (SSL_write(s->ssl, head, n) != n) failed++;
  s->phase = is_upload ? SENDING : READING;
  rewatch(epoll, s->fd, is_upload ? EPOLLIN | EPOLLOUT : EPOLLIN, s);
}

static void send_body(struct slot *s) {
  while (s->unsent > 0) {
    int part = s->unsent < sizeof buffer ? (int)s->unsent : (int)sizeof buffer;
    int n = SSL_write(s->ssl, buffer, part);
    if (n <= 0) return wait_for(s, n);
    s->unsent -= (uint64_t)n;
    octets += (uint64_t)n;
  }
  s->phase = READING;
  rewatch(epoll, s->fd, EPOLLIN, s);
}

static void finish_answer(struct slot *s) {
  units++;
  add_sample(now_ns() - s->begun_at);
  s->phase = IDLE;
  if (mode[0] == 'h') {
    resumed += (uint64_t)SSL_session_reused(s->ssl);
    stop(s);
    start(s);
  } else if (mode[0] == 'r' && now_ns() < end_at) {
    begin_request(s);
  }
}

static void take_event(const char *text, int n) {
  for (const char *at = text, *end = text + n; (at = memmem(at, (size_t)(end - at), "{\"at\":", 6)) != NULL; at += 6) {
    if (!is_running) continue;
    units++;
    add_sample(now_ns() - strtoull(at + 6, NULL, 10));
  }
}

// Returns the octets of the body that came with the head; -1 while the head is not whole (which with us is never split).
static int take_head(struct slot *s, int n) {
  buffer[n] = 0;
  char *end = strstr(buffer, "\r\n\r\n"), *length;
  if (end == NULL) return -1;
  s->has_head = 1;
  if (strncmp(buffer + 9, "200", 3) != 0 && failed++ < 1) fprintf(stderr, "%.*s\n", n, buffer);
  length = strcasestr(buffer, "\r\ncontent-length:");
  s->left = length != NULL && length < end ? strtoull(length + 17, NULL, 10) : UINT64_MAX;
  return n - (int)(end + 4 - buffer);
}

static void read_answer(struct slot *s) {
  for (;;) {
    int n = SSL_read(s->ssl, buffer, sizeof buffer - 1), body;
    if (n <= 0) {
      if (SSL_get_error(s->ssl, n) == SSL_ERROR_WANT_READ) return;
      failed++;
      stop(s);
      if (failed > 1000) die("too many connections failed");
      return start(s);
    }
    if (mode[0] == 'e') take_event(buffer, n);
    body = n;
    if (!s->has_head) {
      body = take_head(s, n);
      if (mode[0] == 'e' && s->has_head) units += is_running == 0;
    }
    if (body < 0 || mode[0] == 'e') continue;
    if (mode[0] == 'd') octets += (uint64_t)body;
    if ((uint64_t)body > s->left) die("an answer is longer than it says");
    s->left -= (uint64_t)body;
    if (s->left == 0) return finish_answer(s);
  }
}

static void handshake(struct slot *s) {
  static const unsigned char LOCAL[16] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0"; // PROXY v2 LOCAL, as a health check sends it
  if (s->phase == CONNECTING && *word("proxy", "0") == '1' && write(s->fd, LOCAL, 16) != 16) failed++;
  s->phase = HANDSHAKE;
  int result = SSL_do_handshake(s->ssl);
  if (result == 1) {
    s->phase = IDLE;
    rewatch(epoll, s->fd, EPOLLIN, s);
    if (mode[0] == 'h' || mode[0] == 'f' || mode[0] == 'e') begin_request(s);
    else if (!is_running) units++;
    return;
  }
  int problem = SSL_get_error(s->ssl, result);
  if (problem == SSL_ERROR_WANT_READ || problem == SSL_ERROR_WANT_WRITE) return wait_for(s, result);
  failed++;
  stop(s);
  if (mode[0] == 'f') {
    usleep(1000);
    return start(s);
  }
  if (failed > 1000) die("too many handshakes failed");
  start(s);
}

static void turn(void) {
  struct epoll_event events[256];
  int count = epoll_wait(epoll, events, 256, 50);
  for (int i = 0; i < count; i++) {
    struct slot *s = events[i].data.ptr;
    if (s->ssl == NULL) continue;
    if (s->phase <= HANDSHAKE) handshake(s);
    else if (s->phase == SENDING) send_body(s);
    else read_answer(s); // also while idle: session tickets
  }
}

// Until something answers at all; the benchmark has just started it.
static void first_answer(struct slot *s) {
  ready_and_go();
  while (units == 0) {
    if (s->ssl == NULL) {
      start(s);
      if (s->ssl == NULL) usleep(1000);
    } else turn();
  }
  failed = 0;
  char extra[64];
  snprintf(extra, sizeof extra, ",\"at\":%lu", now_ns());
  report(extra);
  exit(0);
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  word_count = argc;
  words = argv;
  mode = word("mode", NULL);
  to = word("to", NULL);
  name = word("name", NULL);
  host = word("host", name);
  path = word("path", "/");
  if (*word("tokens", "")) read_lines(&tokens, word("tokens", ""));
  octets_each = (uint64_t)number("octets", "0");
  context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, keep_session);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  unsigned connections = (unsigned)number("connections", "1");
  struct slot *slots = calloc(connections, sizeof *slots);
  if (mode[0] == 'f') first_answer(slots);
  if (mode[0] != 'h')
    for (unsigned begun = 0; units < connections; turn())
      for (; begun < connections && begun < units + 32; begun++) start(&slots[begun]);
  for (uint64_t until = now_ns() + (uint64_t)(number("settle", "0") * 1e9); now_ns() < until;) turn();
  units = octets = 0;
  ready_and_go();
  is_running = 1;
  sample_count = 0;
  end_at = started_at + (uint64_t)(number("seconds", "1") * 1e9);
  for (unsigned i = 0; i < connections; i++) {
    if (mode[0] == 'h') start(&slots[i]);
    else if (mode[0] != 'e') begin_request(&slots[i]);
  }
  if (mode[0] == 'd' || mode[0] == 'u') while (units < connections) turn();
  else while (now_ns() < end_at) turn();
  char extra[96];
  snprintf(extra, sizeof extra, ",\"resumed\":%lu,\"next_token\":%zu", resumed, tokens.next);
  report(extra);
}
