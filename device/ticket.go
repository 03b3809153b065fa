package device

import (
	"strings"
	"time"

	"github.com/herald-im/herald/protocol"
)

// tickets are the UserSigs that a session may use. A refusal condemns the one
// that was used and no other, and one that worked is kept until the hub has
// accepted its successor.
type tickets struct {
	auto   bool   // behind those of programs is the configuration's: the session is not given up for a refusal
	given  string // by a program, and accepted by the hub; "": none
	trial  *trial // of one that a program gave and the hub has not judged yet; nil: none
	used   string // in the newest attempt
	worked string // the last that the hub accepted, whoever gave it
	out    string // the last that is known to have run out
}

// trial is a UserSig that waits for the hub's verdict.
type trial struct {
	sig  string
	last *protocol.Error // why the last attempt with it gave no verdict
	done chan struct{}   // closed at the verdict; a session that ends over it says so itself
	err  error           // the verdict
}

func newTrial(sig string) *trial { return &trial{sig: sig, done: make(chan struct{})} }

func (t *trial) settle(err error) {
	t.err = err
	close(t.done)
}

var errReplaced = protocol.Errorf(protocol.CodeAccountLoginInProcess, "another im.login has come with another UserSig")

// errRenewed ends a connection that was made with an older UserSig than the
// newest one.
var errRenewed = protocol.Errorf(protocol.CodeNetDisconnect, "a new UserSig is tried")

// ticket is the UserSig for the next attempt: a program's, or else, of an
// automatic login, what lies on disk now.
func (s *session) ticket() (sig string, err error) {
	s.mu.Lock()
	if sig = s.given; s.trial != nil {
		sig = s.trial.sig
	}
	s.mu.Unlock()
	if sig == "" {
		sig, err = s.d.cfg.Sig()
		sig = strings.TrimSpace(sig)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = sig
	return sig, err
}

// renew takes a UserSig from a program and has it tried at once, by a new
// connection if one stands. One that worked last is not judged again. nil: the
// session is ending, and tries nothing any more.
func (s *session) renew(sig string) *trial {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		return nil
	}
	t := s.trial
	if t == nil || t.sig != sig {
		if t != nil {
			t.settle(errReplaced)
		}
		t, s.trial = newTrial(sig), nil
		if sig == s.worked {
			t.settle(nil)
		} else {
			s.trial = t
		}
	}
	s.hurry()
	return t
}

// untried tells whether a program has given a UserSig that the newest attempt
// was not made with.
func (s *session) untried() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trial != nil && s.trial.sig != s.used
}

// accepted is the hub's welcome for the UserSig of the newest attempt.
func (s *session) accepted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.worked = s.used
	if t := s.trial; t != nil && t.sig == s.used {
		s.given, s.trial = t.sig, nil
		t.settle(nil)
	}
}

// refused takes the UserSig of the newest attempt away. It returns whether there
// is another to try, and after how long.
func (s *session) refused(e *protocol.Error) (again bool, after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	programs := s.used != "" && s.given == s.used
	if programs {
		s.given = ""
	}
	if s.worked == s.used {
		s.worked = ""
	}
	judged := s.trial
	if judged != nil && judged.sig == s.used {
		s.trial, programs = nil, true
	} else {
		judged = nil
	}
	if s.trial == nil && s.given == "" && !s.auto {
		if s.end == nil { // here, so that no UserSig is given to a session that does not try it
			s.end = e
		}
		return false, 0
	}
	if judged != nil {
		judged.settle(e)
	}
	if s.trial == nil && s.given == "" && !programs {
		return true, s.d.timing.slowRetry // the configuration's is all there is
	}
	s.hurry()
	return true, 0
}

// ranOut tells whether programs are to hear that the UserSig of the newest attempt
// has run out: once, and not of one whose giver hears it anyway.
func (s *session) ranOut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used == s.out || s.trial != nil && s.trial.sig == s.used {
		return false
	}
	s.out = s.used
	return true
}

// unanswered says why there is no verdict yet.
func (s *session) unanswered(t *trial) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.last == nil {
		return protocol.Errorf(protocol.CodeRequestTimeout,
			"the hub at %s has not answered in %v; the login goes on in the background", s.d.cfg.HubAddr, s.d.timing.login)
	}
	return protocol.Errorf(t.last.Code, "%s; the login goes on in the background", t.last.Msg)
}
