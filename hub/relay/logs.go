package relay

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// logs gives pion a log. All that it says is for debugging: strangers can make it
// say its worst as often as they like.
type logs struct{ log *slog.Logger }

func (l logs) NewLogger(string) logging.LeveledLogger { return l }

func (l logs) say(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug(fmt.Sprintf(format, args...))
	}
}

func (l logs) Trace(string)              {}
func (l logs) Tracef(string, ...any)     {}
func (l logs) Debug(string)              {}
func (l logs) Debugf(string, ...any)     {} // some of each packet
func (l logs) Info(m string)             { l.say("%s", m) }
func (l logs) Infof(f string, a ...any)  { l.say(f, a...) }
func (l logs) Warn(m string)             { l.say("%s", m) }
func (l logs) Warnf(f string, a ...any)  { l.say(f, a...) }
func (l logs) Error(m string)            { l.say("%s", m) }
func (l logs) Errorf(f string, a ...any) { l.say(f, a...) }
