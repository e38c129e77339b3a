// What both load generators share: words `name=value`, the exchange with the benchmark, latencies, and the line of JSON at the end.
//
// The exchange: we print `ready` when the connections stand, wait for a line, do the work, print the result, and wait for the end of
// stdin with every connection still open. So the benchmark can look at the counters of the process under test exactly around the work.
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H
#include "net.h"

#define MAX_SAMPLES (8u << 20)

static int word_count;
static char **words;

static inline const char *word(const char *name, const char *otherwise) {
  size_t length = strlen(name);
  for (int i = 1; i < word_count; i++)
    if (strncmp(words[i], name, length) == 0 && words[i][length] == '=') return words[i] + length + 1;
  if (otherwise == NULL) {
    fprintf(stderr, "%s= is missing\n", name);
    exit(2);
  }
  return otherwise;
}

static inline double number(const char *name, const char *otherwise) { return atof(word(name, otherwise)); }

// Lines of a file, for work that takes them in turn.
struct lines {
  char **line;
  size_t count, next;
};

static inline void read_lines(struct lines *lines, const char *path) {
  FILE *file = fopen(path, "r");
  char *text = NULL;
  size_t room = 0;
  if (file == NULL) die(path);
  for (ssize_t n; (n = getline(&text, &room, file)) > 0;) {
    if (lines->count % 4096 == 0) lines->line = realloc(lines->line, (lines->count + 4096) * sizeof *lines->line);
    text[strcspn(text, "\n")] = 0;
    lines->line[lines->count++] = strdup(text);
  }
  lines->next = (size_t)number("first", "0");
  fclose(file);
}

static inline const char *next_line(struct lines *lines) { return lines->line[lines->next++ % lines->count]; }

// Of the work: what was done, what went wrong, and how long each unit took.
static uint64_t units, failed, octets;
static uint32_t *samples; // in units of 100 ns
static uint32_t sample_count;
static uint64_t started_at;
static double cpu_at_start;

static inline void add_sample(uint64_t ns) {
  if (sample_count < MAX_SAMPLES) samples[sample_count++] = ns / 100 > UINT32_MAX ? UINT32_MAX : (uint32_t)(ns / 100);
}

static inline void wait_for_line(void) {
  char c;
  while (read(0, &c, 1) == 1 && c != '\n') {
  }
}

static inline void ready_and_go(void) {
  samples = malloc(MAX_SAMPLES * sizeof *samples);
  printf("ready\n");
  fflush(stdout);
  wait_for_line();
  started_at = now_ns();
  cpu_at_start = own_cpu();
}

static int compare_samples(const void *one, const void *other) {
  uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
  return a < b ? -1 : a > b;
}

static inline double quantile_us(double share) {
  if (sample_count == 0) return 0;
  return samples[(uint32_t)(share * (sample_count - 1))] / 10.0;
}

// `extra` goes into the object as it is; empty, or beginning with a comma.
static inline void report(const char *extra) {
  double seconds = (now_ns() - started_at) / 1e9, cpu = own_cpu() - cpu_at_start;
  qsort(samples, sample_count, sizeof *samples, compare_samples);
  printf("{\"units\":%lu,\"failed\":%lu,\"octets\":%lu,\"seconds\":%.6f,\"cpu\":%.6f,\"p50\":%.1f,\"p99\":%.1f%s}\n", units, failed, octets,
         seconds, cpu, quantile_us(0.5), quantile_us(0.99), extra);
  fflush(stdout);
  wait_for_line();
}
#endif
