package broker

import (
	"strings"
	"unicode/utf8"
)

// Bounds of a topic or filter. The index walks filters level by level and starts from the front
// each time, so both bound what one SUBSCRIBE or Publish can cost.
const (
	topicBytes  = 512
	topicLevels = 16
)

// validTopic says whether a message may be published to topic. Topics that start with $ belong to
// brokers (MQTT 3.1.1 §4.7.2) and are refused.
func validTopic(topic string) bool {
	return wellFormed(topic) && !strings.ContainsAny(topic, "+#")
}

// validFilter says whether filter may be subscribed to: wildcards stand for whole levels, # only at
// the end [MQTT-4.7.1-2] [MQTT-4.7.1-3].
func validFilter(filter string) bool {
	if !wellFormed(filter) {
		return false
	}
	for level, rest, more := "", filter, true; more; {
		level, rest, more = strings.Cut(rest, "/")
		if level == "#" {
			return !more
		}
		if level != "+" && strings.ContainsAny(level, "+#") {
			return false
		}
	}
	return true
}

func wellFormed(s string) bool {
	return s != "" && len(s) <= topicBytes && s[0] != '$' &&
		strings.Count(s, "/") < topicLevels &&
		utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}

// Match says whether topic falls under filter (MQTT 3.1.1 §4.7). Neither is checked for validity;
// an invalid filter matches at most the topic that is equal to it.
func Match(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && !strings.HasPrefix(filter, "$") {
		return filter == topic // [MQTT-4.7.2-1]
	}
	for {
		f, frest, fmore := strings.Cut(filter, "/")
		if f == "#" && !fmore {
			return true
		}
		t, trest, tmore := strings.Cut(topic, "/")
		if f != "+" && f != t {
			return false
		}
		switch {
		case !fmore && !tmore:
			return true
		case !tmore:
			return frest == "#" // a/# covers a (§4.7.1.2)
		case !fmore:
			return false
		}
		filter, topic = frest, trest
	}
}
