/* librdkafka with its mock broker: produce, and a delivery report for each value. There is no handler in it; the callback
   does the doubling. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "side.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

struct kafka {
    struct side_tally tally;
    struct side_config config;
    char *text;
    rd_kafka_t *producer;
    rd_kafka_topic_t *topic;
    pthread_t poller;
    int32_t started, stopped;
    uint64_t pushed, reported;
};

static void report(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque) {
    struct kafka *kafka = opaque;
    uint64_t tag = (uint64_t)(uintptr_t)message->_private;
    (void)producer;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) return; /* the check at the end misses it */
    if (kafka->config.payload == SIDE_STRING) {
        kafka->tally.sum += (uint64_t)side_measure(message->payload, message->len);
    } else {
        int64_t value;
        memcpy(&value, message->payload, sizeof value);
        kafka->tally.sum += (uint64_t)side_double(value);
    }
    kafka->tally.expected += side_expected(&kafka->config, kafka->text, &tag, 1, sizeof tag);
    ++kafka->reported;
}

static void *poll_reports(void *data) {
    struct kafka *kafka = data;
    while (!__atomic_load_n(&kafka->stopped, __ATOMIC_ACQUIRE)) {
        rd_kafka_poll(kafka->producer, 20);
        if (kafka->reported > 0) {
            side_delivered(&kafka->tally, &kafka->config, kafka->reported);
            kafka->reported = 0;
        }
    }
    return NULL;
}

static void destroy(void *side) {
    struct kafka *kafka = side;
    __atomic_store_n(&kafka->stopped, 1, __ATOMIC_RELEASE);
    if (kafka->started) pthread_join(kafka->poller, NULL);
    if (kafka->topic != NULL) rd_kafka_topic_destroy(kafka->topic);
    if (kafka->producer != NULL) rd_kafka_destroy(kafka->producer);
    free(kafka->text);
    free(kafka);
}

static int set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char error[256];
    if (rd_kafka_conf_set(conf, name, value, error, sizeof error) == RD_KAFKA_CONF_OK) return 1;
    fprintf(stderr, "librdkafka: %s\n", error);
    return 0;
}

static void *create(const struct side_config *config) {
    char most[32], linger[32];
    struct kafka *kafka = calloc(1, sizeof *kafka);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (kafka == NULL) return NULL;
    kafka->config = *config;
    kafka->text = side_text_new(config->bytes);
    snprintf(most, sizeof most, "%llu", (unsigned long long)config->outstanding);
    snprintf(linger, sizeof linger, "%.3f", (double)config->max_delay_ns / 1e6);
    /* Requests of up to 10,000 messages, its default, are faster than those of 256 that the others take. */
    if (!set(conf, "test.mock.num.brokers", "1") || !set(conf, "linger.ms", linger) || !set(conf, "log_level", "0") ||
        !set(conf, "queue.buffering.max.messages", most) || !set(conf, "queue.buffering.max.kbytes", "2097151")) {
        rd_kafka_conf_destroy(conf);
        destroy(kafka);
        return NULL;
    }
    rd_kafka_conf_set_dr_msg_cb(conf, report);
    rd_kafka_conf_set_opaque(conf, kafka);
    rd_kafka_conf_set_log_cb(conf, NULL);
    kafka->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
    if (kafka->producer == NULL) {
        rd_kafka_conf_destroy(conf);
        destroy(kafka);
        return NULL;
    }
    kafka->topic = rd_kafka_topic_new(kafka->producer, "bench", NULL);
    kafka->started = kafka->topic != NULL && pthread_create(&kafka->poller, NULL, poll_reports, kafka) == 0;
    if (!kafka->started) {
        destroy(kafka);
        return NULL;
    }
    return kafka;
}

static uint64_t push(void *side, uint64_t producer, uint64_t first, uint64_t count) {
    struct kafka *kafka = side;
    uint64_t i;
    (void)producer;
    for (i = 0; i < count; ++i) {
        int64_t value = side_value(first + i);
        int string = kafka->config.payload == SIDE_STRING;
        const void *data = string ? (const void *)side_text(kafka->text, first + i) : &value;
        size_t length = string ? kafka->config.bytes : sizeof value;
        if (rd_kafka_produce(kafka->topic, 0, RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_BLOCK, (void *)(uintptr_t)data, length,
                             NULL, 0, (void *)(uintptr_t)(first + i)) != 0)
            break;
    }
    __atomic_fetch_add(&kafka->pushed, i, __ATOMIC_RELEASE);
    return i;
}

static void drain(void *side) {
    struct kafka *kafka = side;
    while (__atomic_load_n(&kafka->tally.delivered, __ATOMIC_ACQUIRE) < __atomic_load_n(&kafka->pushed, __ATOMIC_ACQUIRE))
        sched_yield();
}

static const struct side_tally *tally(void *side) { return &((struct kafka *)side)->tally; }

static uint64_t bytes_in_use(void *side) {
    (void)side;
    return 0;
}

const struct side_calls side_rdkafka = {create, push, drain, tally, bytes_in_use, destroy};
