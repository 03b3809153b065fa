package device

import "time"

// timing is how long things may take. Tests have less patience.
type timing struct {
	answer     time.Duration // the hub's answer to a hello, an append or a pull
	call       time.Duration // the hub's reply to a call
	send       time.Duration // see session.post
	login      time.Duration // before im.login says that it goes on in the background
	tick       time.Duration // how often deadlines are looked at
	helloApart time.Duration // between hellos of a connection; sooner, it begins anew
	slowRetry  time.Duration // the wait after a refusal that only the operator can mend
	friends    time.Duration // before friends are asked for again, where that has failed
}

func usualTiming() timing {
	return timing{
		answer: 20 * time.Second, call: 10 * time.Second, send: 5 * time.Second, login: 15 * time.Second,
		tick: 2 * time.Second, helloApart: time.Second, slowRetry: time.Minute, friends: time.Minute,
	}
}
