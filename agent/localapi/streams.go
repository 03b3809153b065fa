package localapi

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/herald-im/herald/protocol"
)

// maxSets bounds how many named listener sets are kept.
const maxSets = 256

// Streams holds what programs have subscribed their event streams to with the
// methods im.set…Listener: one set of categories for each stream name. A set
// outlives the stream's connection, not the daemon.
type Streams struct {
	log *slog.Logger

	mu   sync.Mutex
	sets map[string]*listenerSet
	uses uint64
}

// listenerSet is what one name is subscribed to. A stream reads the mask when
// it is about to send an event: a change holds for every event after it, and
// for those that the stream has not come to yet.
type listenerSet struct {
	mask categoryMask
	open int    // streams with this name, under Streams.mu
	used uint64 // when it was last used, in Streams.uses
}

// categoryMask is a set of categories, a bit for each in the order of
// protocol.Categories.
type categoryMask struct{ bits atomic.Uint32 }

func (m *categoryMask) load() uint32 { return m.bits.Load() }

// bitOf returns 0 for a category that is not there.
func bitOf(category string) uint32 {
	if i := slices.Index(protocol.Categories, category); i >= 0 {
		return 1 << i
	}
	return 0
}

func bitsOf(categories []string) (bits uint32) {
	for _, c := range categories {
		bits |= bitOf(c)
	}
	return bits
}

const everyCategory = ^uint32(0)

// NewStreams makes an empty set of sets.
func NewStreams(log *slog.Logger) *Streams {
	return &Streams{log: log, sets: make(map[string]*listenerSet)}
}

// Bind has s answer the methods that set and remove listeners.
func (s *Streams) Bind(t *protocol.Table[protocol.Caller]) {
	for _, l := range []struct {
		category    string
		set, remove protocol.Method[protocol.ListenRequest, protocol.Empty]
	}{
		{"sdk", protocol.SetSDKListener, protocol.RemoveSDKListener},
		{"simple", protocol.SetSimpleMsgListener, protocol.RemoveSimpleMsgListener},
		{"signaling", protocol.SetSignalingListener, protocol.RemoveSignalingListener},
		{"advanced", protocol.SetAdvancedMsgListener, protocol.RemoveAdvancedMsgListener},
		{"conversation", protocol.SetConversationListener, protocol.RemoveConversationListener},
		{"group", protocol.SetGroupListener, protocol.RemoveGroupListener},
		{"friend", protocol.SetFriendListener, protocol.RemoveFriendListener},
		{"calling", protocol.SetCallingListener, protocol.RemoveCallingListener},
		{"device", protocol.SetDeviceListener, protocol.RemoveDeviceListener},
	} {
		bit := bitOf(l.category)
		protocol.Bind(t, l.set, func(_ context.Context, _ protocol.Caller, r protocol.ListenRequest) (protocol.Empty, error) {
			return protocol.Empty{}, s.add(r.Stream, bit)
		})
		protocol.Bind(t, l.remove, func(_ context.Context, _ protocol.Caller, r protocol.ListenRequest) (protocol.Empty, error) {
			s.remove(r.Stream, bit)
			return protocol.Empty{}, nil
		})
	}
}

func (s *Streams) add(name string, bit uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	set, err := s.use(name)
	if err != nil {
		return err
	}
	set.mask.bits.Or(bit)
	return nil
}

func (s *Streams) remove(name string, bit uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if set := s.sets[name]; set != nil {
		set.mask.bits.And(^bit)
		s.forgetEmpty(name, set)
	}
}

// open notes that a stream reads by the set called name.
func (s *Streams) open(name string) (*listenerSet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set, err := s.use(name)
	if err != nil {
		return nil, err
	}
	set.open++
	return set, nil
}

func (s *Streams) close(name string, set *listenerSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set.open--
	s.uses++
	set.used = s.uses
	s.forgetEmpty(name, set)
}

func (s *Streams) forgetEmpty(name string, set *listenerSet) {
	if set.open == 0 && set.mask.load() == 0 {
		delete(s.sets, name)
	}
}

// use returns the set called name, made if need be: then the one that was not
// used for longest, and has no stream open, makes room.
func (s *Streams) use(name string) (*listenerSet, error) {
	s.uses++
	if set := s.sets[name]; set != nil {
		set.used = s.uses
		return set, nil
	}
	if len(s.sets) >= maxSets && !s.forgetOldest() {
		return nil, protocol.Errorf(protocol.CodeNetReqCountLimit, "stream: all %d names have a stream open", maxSets)
	}
	// The name is a part of a request's body or address, which it would keep
	// in memory.
	set := &listenerSet{used: s.uses}
	s.sets[strings.Clone(name)] = set
	return set, nil
}

func (s *Streams) forgetOldest() bool {
	oldest := ""
	for name, set := range s.sets {
		if set.open == 0 && (oldest == "" || set.used < s.sets[oldest].used) {
			oldest = name
		}
	}
	if oldest == "" {
		return false
	}
	delete(s.sets, oldest)
	s.log.Warn("too many stream names: the listeners of the one not used for longest are forgotten", "stream", oldest, "limit", maxSets)
	return true
}
