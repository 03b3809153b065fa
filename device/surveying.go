package device

import (
	"math/rand/v2"
	"time"

	"github.com/herald-im/herald/device/mirror"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// surveys is the asking of the hub how conversations stand, and what programs are
// told of the whole catching up.
type surveys struct {
	unknown []string // logs of which nothing is known
	asked   []mirror.Asked
	id      uint32 // of the survey under way; 0: none
	sent    time.Time
	idle    bool // the last answer settled nothing: the next question waits for a tick
	syncing bool // programs were told that what was missed is being read
}

// beginSurveys has all logs looked at, now that their cursors are known.
func (c *connection) beginSurveys() {
	c.surveys = surveys{unknown: c.s.mirror.Unknown(c.s.inbox.Logs()), syncing: true}
	raise(c.s.d, protocol.OnSyncServerStart, protocol.Empty{})
}

// survey asks the next question, if there is one.
func (c *connection) survey() error {
	v := &c.surveys
	if !c.ready || v.id != 0 || v.idle {
		return nil
	}
	logs := v.unknown[:min(len(v.unknown), protocol.MaxSurvey)]
	v.unknown = v.unknown[len(logs):]
	if len(logs) == 0 {
		logs = c.s.mirror.Doubtful(protocol.MaxSurvey)
	}
	if len(logs) == 0 {
		return nil
	}
	return c.ask(c.s.mirror.Ask(logs))
}

func (c *connection) ask(asked []mirror.Asked) error {
	v := &c.surveys
	v.asked, v.id, v.sent = asked, rand.Uint32()|1, time.Now()
	items := make([]protocol.SurveyItem, len(asked))
	for i, a := range asked {
		items[i] = a.SurveyItem
	}
	return c.send(&protocol.Frame{Survey: &protocol.Survey{ID: v.id, Items: items}})
}

// surveyed takes the hub's answer.
func (c *connection) surveyed(st *protocol.States) error {
	v := &c.surveys
	if st.ID != v.id || len(st.Items) > len(v.asked) {
		return nil
	}
	asked, s := v.asked, c.s
	if len(st.Items) == 0 { // it cannot say at present
		c.unanswered(asked)
		v.idle = true
		return nil
	}
	before := len(s.mirror.Doubtful(maxLogs)) + len(v.unknown) + len(s.mirror.Unknown(logsOf(asked)))
	s.d.db.Go(func(tx *bbolt.Tx) error { return s.mirror.Settle(tx, asked, st.Items) }, func(err error) {
		s.mirrored(err)
		c.posts.add(func() error {
			if v.id != st.ID {
				return nil
			}
			if err != nil {
				c.unanswered(asked)
				v.idle = true
				s.log.Warn("how conversations stand could not be written down", "err", err)
				return nil
			}
			c.unanswered(asked[:len(st.Items)])
			if rest := asked[len(st.Items):]; len(rest) > 0 {
				return c.ask(rest)
			}
			v.idle = len(s.mirror.Doubtful(maxLogs))+len(v.unknown) >= before
			return c.survey()
		})
	})
	return nil
}

// unanswered ends a survey: those of its logs that are unknown still, and that
// nothing else names, are asked about again.
func (c *connection) unanswered(asked []mirror.Asked) {
	v := &c.surveys
	v.id, v.unknown = 0, append(v.unknown, c.s.mirror.Unknown(logsOf(asked))...)
}

func logsOf(asked []mirror.Asked) []string {
	logs := make([]string, len(asked))
	for i, a := range asked {
		logs[i] = a.Log
	}
	return logs
}

// surveyAgain is called at each tick.
func (c *connection) surveyAgain(now time.Time) error {
	v := &c.surveys
	if v.id != 0 && now.Sub(v.sent) > c.s.d.timing.answer {
		c.unanswered(v.asked)
	}
	v.idle = false
	return c.survey()
}

// caughtUp tells programs once all that was missed is here.
func (c *connection) caughtUp() {
	v := &c.surveys
	if !v.syncing || !c.ready || !c.pulls.done() || v.id != 0 || len(v.unknown) > 0 {
		return
	}
	v.syncing = false
	raise(c.s.d, protocol.OnSyncServerFinish, protocol.Empty{})
}

// endSurveys tells programs that the catching up has broken off, if it has.
func (c *connection) endSurveys() {
	if c.surveys.syncing {
		raise(c.s.d, protocol.OnSyncServerFailed, protocol.Empty{})
	}
}
