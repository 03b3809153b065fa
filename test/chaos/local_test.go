package chaos

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/test/rig"
)

// mostOfBoard is how much a board's daemon may have in memory, in MiB, whatever
// the programs beside it do.
const mostOfBoard = 64

// open connects to a board's socket.
func (a *actor) open() net.Conn {
	a.h.t.Helper()
	c, err := net.Dial("unix", a.board.Socket)
	must(a.h.t, err)
	must(a.h.t, c.SetDeadline(time.Now().Add(patience)))
	return c
}

// operator runs a command of herald's as one does at a shell.
func (a *actor) operator(args ...string) (string, error) {
	return rig.Output(a.h.ctx, a.board.Path, append(args, "--socket", a.board.Socket)...)
}

// well fails the test if the operator is not told that all is well.
func (a *actor) well() {
	a.h.t.Helper()
	if out, err := a.operator("status"); err != nil || !strings.Contains(out, "logged in") {
		a.h.t.Errorf("herald status: %q, %v", out, err)
	}
}

// TestLocalNeighbour: a program on the board takes what it can get of the local
// API. Whoever else calls is served, or told why not and served as soon as the
// program is gone; the account's messages pass all the while.
func TestLocalNeighbour(t *testing.T) {
	h := newHouse(t, "")
	door, indoor := h.actor("door"), h.actor("indoor")
	talk := h.talk(door, indoor)
	door.sendAll("door", []string{strings.Repeat("x", 8000)}) // something to be streamed

	// Connections that are held, each with the beginning of a request.
	var held []net.Conn
	for range 300 {
		c := door.open()
		held = append(held, c)
		fmt.Fprint(c, "GET /v1/status HT")
	}
	out, err := door.operator("status")
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint(protocol.CodeNetReqCountLimit)) || !strings.Contains(err.Error(), "connections are in use") {
		t.Errorf("with all connections taken the operator is told %q, %v", out, err)
	}
	talk.goesOn() // by connections that were there before
	for _, c := range held {
		_ = c.Close()
	}
	h.poll("a place to be free", func() bool { _, err := door.operator("status"); return err == nil })
	door.well()

	// Streams that nobody reads: there are 32.
	held = held[:0]
	for range 40 {
		c := door.open()
		held = append(held, c)
		fmt.Fprint(c, "GET /v1/events?from=1 HTTP/1.1\r\nHost: herald\r\n\r\n")
	}
	refused := 0
	for _, c := range held {
		res, err := http.ReadResponse(bufio.NewReaderSize(c, 16), nil)
		must(t, err)
		if res.StatusCode == http.StatusServiceUnavailable {
			refused++
		}
	}
	if refused < 8 {
		t.Errorf("of 40 streams %d were refused", refused)
	}
	door.sendAll("door", numbered("streamed", 50))
	door.well()
	talk.goesOn()

	// Bodies of a megabyte, many at once, some of which never come.
	var sending sync.WaitGroup
	body := `{"userId":"door","text":"` + strings.Repeat("x", 1<<20-100) + `"}`
	for i := range 32 {
		sending.Go(func() {
			c := door.open()
			defer c.Close()
			fmt.Fprintf(c, "POST /v1/im/sendC2CTextMessage HTTP/1.1\r\nHost: herald\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", len(body))
			if i%4 == 0 {
				_, _ = io.WriteString(c, body[:1000])
				<-time.After(time.Second) // that program has hung itself up
				return
			}
			_, _ = io.WriteString(c, body) // it may be refused before the end
			answer, _ := io.ReadAll(c)
			if !strings.HasPrefix(string(answer), "HTTP/1.1 4") && !strings.HasPrefix(string(answer), "HTTP/1.1 5") {
				t.Errorf("a message of a megabyte is answered with %.100q", answer)
			}
		})
	}
	door.well()
	sending.Wait()
	talk.goesOn()

	// Requests for what is not there, by the thousand.
	for i := range 20 {
		sending.Go(func() {
			c := door.open()
			defer c.Close()
			r := bufio.NewReader(c)
			for n := range 200 {
				path := [...]string{"/v1/im/nothing", "/v1/im/" + strings.Repeat("x", 3000), "/v1/device/../im/login", "/v1/im/sendC2CTextMessage", "/metrics"}[(i+n)%5]
				fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: herald\r\n\r\n", path)
				res, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Errorf("%.40s: %v", path, err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				if res.Close { // as after each refusal
					_ = c.Close()
					c = door.open()
					r = bufio.NewReader(c)
				}
			}
		})
	}
	door.well()
	sending.Wait()
	for _, c := range held {
		_ = c.Close()
	}
	door.well()
	talk.goesOn()
	talk.unbroken()
	talk.end()
	_, most := memory(t, door.board.PID())
	if t.Logf("the daemon had %d MiB at most", most); most > mostOfBoard {
		t.Errorf("the daemon had %d MiB", most)
	}
}
