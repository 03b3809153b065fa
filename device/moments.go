package device

import (
	"sync"

	"github.com/herald-im/herald/protocol"
)

// momentsKept is how many transient events wait for a watcher.
const momentsKept = 64

// moments hands transient events to those who watch at that moment.
type moments struct {
	mu       sync.Mutex
	watchers map[chan protocol.Occurrence]struct{}
}

func (m *moments) watch() (<-chan protocol.Occurrence, func()) {
	ch := make(chan protocol.Occurrence, momentsKept)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.watchers == nil {
		m.watchers = make(map[chan protocol.Occurrence]struct{})
	}
	m.watchers[ch] = struct{}{}
	return ch, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watchers, ch)
	}
}

// watched tells whether anybody watches.
func (m *moments) watched() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.watchers) > 0
}

func (m *moments) show(ev protocol.Occurrence) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for ch := range m.watchers {
		select {
		case ch <- ev:
			continue
		default:
		}
		select { // the newest state is worth more than the oldest
		case <-ch:
		default:
		}
		select {
		case ch <- ev:
		default:
		}
	}
}
