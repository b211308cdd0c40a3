// Package natsqueue is the prefill queue of Dynamo as of 2025 on a real NATS
// JetStream: one stream, one durable pull consumer, one message per prompt.
//
// It knows NATS and the names and settings that Dynamo gives its queue. It must
// never know what a prompt costs or who decides about replicas.
//
// As in Dynamo's source: the stream `dynamo_prefill_queue` takes the subjects
// `dynamo_prefill_queue.*`, keeps messages by limits for at most 10 minutes, and
// prompts are published on `dynamo_prefill_queue.queue`. The consumer
// `worker-group` is durable and pulled. A worker asks for one message at a time
// with a timeout of one second, acknowledges it at once, and asks for the next
// when it has computed the prompt. So the consumer's num_pending is the number
// of prompts that wait, num_ack_pending is about 0, and num_waiting is the
// number of idle workers.
//
// Everything listens on 127.0.0.1 only.
package natsqueue
