// Package broker is the hub's own MQTT broker: it takes terminals' connections, asks the hub who
// they are and what they may do, hands their publishes to the hub and carries the hub's publishes
// to them. It knows MQTT 3.1.1 with QoS 0 and 1, and nothing of Herald: which topics exist, who a
// user is and why a login fails is decided by the [Handler]. No type of the library underneath is
// seen from outside, so that an outside broker can stand behind the same few methods.
//
// # The library and its fence
//
// Packets are decoded and filters are indexed by mochi-mqtt/server v2.7.9. Its server type, which
// would do the rest, is not used, because what it does there cannot be fenced from outside:
//
//   - EstablishConnection starts a goroutine per connection that nobody can wait for and whose panic
//     nobody can recover, and lets strangers reach its MQTT 5 decoders. One of them panics on a
//     7-byte SUBSCRIBE.
//   - Its outgoing queue is bounded in packets, not bytes, and its in-flight store keeps each message
//     until it is acknowledged and mixes their order when it sends them again. Inbound and outbound
//     packet ids share that store, so a SUBSCRIBE can be refused because of an unacknowledged message.
//   - A client that comes back at once can lose its new subscriptions to the end of its old connection.
//   - A write that times out leaves the connection open with half a packet sent.
//   - Its packets are large values on deep stacks: an idle connection costs 56 kB there and 23 kB
//     here, both ends counted.
//
// So a connection is ours from accept to close, on goroutines that Run waits for, each under a
// recover. A CONNECT is read within a size and a time, and only protocol level 4 is decoded. After
// the login, bounds admits six packet types, each with a length of its own, and nothing else is
// decoded. Access checks and retained messages are ours as well: the library's matcher can be
// passed by, its retained messages expire after a day, and it publishes $SYS topics.
//
// # What holds
//
// Order: what one goroutine publishes reaches each subscriber in that order. A retained message
// never comes after a newer one of its topic.
//
// No waiting: Publish never waits for a peer. For a peer that does not read, or does not
// acknowledge, messages are dropped, counted ([Stats]) and logged; the layer above sees the hole and
// repairs it. A peer that makes no progress at all is disconnected.
//
// Sessions: one lasts as long as its connection. CONNACK always says "no session present", whatever
// the client's CleanSession: a client subscribes after each CONNECT. Nothing is kept for a peer
// that is away, and nothing is sent twice.
//
// Takeover: of one client id the newest login stays. Gone of the older connection has returned
// before the newer one gets its CONNACK, and so before the Handler hears of any packet of it. The
// same holds for a reconnect.
package broker
