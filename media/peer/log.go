package peer

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// pionLog hands what pion says to slog. Everything lands at debug: pion warns of each stray packet, and what matters of
// it reaches us as a state or an error anyway.
type pionLog struct{ log *slog.Logger }

func (p pionLog) NewLogger(scope string) logging.LeveledLogger {
	return scopedLog{p.log.With("pion", scope)}
}

type scopedLog struct{ log *slog.Logger }

func (s scopedLog) say(level, msg string) {
	s.log.LogAttrs(context.Background(), slog.LevelDebug, msg, slog.String("pion_level", level))
}

func (s scopedLog) sayf(level, format string, args []any) {
	if s.log.Enabled(context.Background(), slog.LevelDebug) {
		s.say(level, fmt.Sprintf(format, args...))
	}
}

// Trace is dropped: it speaks of every packet.
func (s scopedLog) Trace(string)              {}
func (s scopedLog) Tracef(string, ...any)     {}
func (s scopedLog) Debug(m string)            { s.say("debug", m) }
func (s scopedLog) Debugf(f string, a ...any) { s.sayf("debug", f, a) }
func (s scopedLog) Info(m string)             { s.say("info", m) }
func (s scopedLog) Infof(f string, a ...any)  { s.sayf("info", f, a) }
func (s scopedLog) Warn(m string)             { s.say("warn", m) }
func (s scopedLog) Warnf(f string, a ...any)  { s.sayf("warn", f, a) }
func (s scopedLog) Error(m string)            { s.say("error", m) }
func (s scopedLog) Errorf(f string, a ...any) { s.sayf("error", f, a) }
