package calls

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/test/rig"
)

// A call through weather of all kinds goes on, takes no more memory at its end, and what is
// heard then belongs to what is seen. It lasts a minute, or HERALD_CALL_MINUTES.
func TestLongCall(t *testing.T) {
	minutes := 1.0
	if m, err := strconv.ParseFloat(os.Getenv("HERALD_CALL_MINUTES"), 64); err == nil {
		minutes = m
	}
	if testing.Short() {
		t.Skip("it takes a minute")
	}
	n := newRadio(t)
	doorConfig, doorHears := telling(t.TempDir(), "door")
	indoorConfig, indoorHears := telling(t.TempDir(), "indoor")
	door, indoor := n.join("door", doorConfig), n.join("indoor", indoorConfig)
	watch := rig.Program(t, "../watch")
	boards := []*board{door, indoor}
	n.connect(door, indoor)
	began := time.Now()
	length := time.Duration(minutes * float64(time.Minute))
	random := rand.New(rand.NewPCG(uint64(began.UnixNano()), 1))
	seconds := func(least, most float64) time.Duration {
		return time.Duration((least + random.Float64()*(most-least)) * float64(time.Second))
	}
	address := map[string]int{"door": 11, "indoor": 12}
	next := 60
	var before [2]usage
	warm := length / 4 // what the first minutes take is no leak
	faults := 0
	for time.Since(began) < length {
		b := boards[random.IntN(2)]
		cable := n.cables[b.User]
		what := ""
		switch random.IntN(5) {
		case 0:
			d := seconds(1, 8)
			what = fmt.Sprintf("cut for %v", d.Round(time.Millisecond))
			cable.Set(rig.Fault{Cut: true})
			time.Sleep(d)
		case 1:
			loss := 0.05 + random.Float64()*0.25
			what = fmt.Sprintf("loses %.0f %%", loss*100)
			cable.Set(rig.Fault{Loss: loss})
			time.Sleep(seconds(2, 8))
		case 2:
			what = "5 % loss, 50 ms ± 20 ms"
			cable.Set(rig.Fault{Loss: 0.05, Delay: 50 * time.Millisecond, Jitter: 20 * time.Millisecond})
			time.Sleep(seconds(3, 10))
		case 3:
			what = "300 kbit/s"
			cable.Set(rig.Fault{Rate: 300_000})
			time.Sleep(seconds(3, 10))
		case 4:
			what = "another address"
			n.In(b.User, fmt.Sprintf("ip addr del 10.77.0.%d/24 dev wlan0", address[b.User]))
			if next++; next > 250 {
				next = 61
			}
			address[b.User] = next
			n.In(b.User, fmt.Sprintf("ip addr add 10.77.0.%d/24 dev wlan0", next))
		}
		cable.Set(rig.Fault{})
		over := time.Now()
		n.picturesAfter(door, indoor)
		faults++
		t.Logf("%v: %s: %s; pictures came for seconds, %v after it", time.Since(began).Round(time.Second), b.User, what, time.Since(over).Round(time.Millisecond))
		if before[0].rss == 0 && time.Since(began) > warm {
			before = [2]usage{usageOf(t, &door.Process), usageOf(t, &indoor.Process)}
		}
	}
	time.Sleep(5 * time.Second) // until the buffers are as they stay
	for i, b := range boards {
		if c := b.call(); c.State != protocol.CallConnected || c.Seconds < int64(length.Seconds())-10 {
			t.Errorf("%s: the call is %+v", b.User, c)
		}
		u := usageOf(t, &b.Process)
		t.Logf("%s: after %v %+v, and after %v %+v", b.User, warm, before[i], time.Since(began).Round(time.Second), u)
		if u.rss > before[i].rss+16<<20 || u.files > before[i].files+8 || u.threads > before[i].threads+8 {
			t.Errorf("%s has grown from %+v to %+v", b.User, before[i], u)
		}
	}
	for _, w := range []*witness{{n, door, indoor, indoorHears, watch}, {n, indoor, door, doorHears, watch}} {
		w.check(4)
	}
	t.Logf("%d faults in %v", faults, time.Since(began).Round(time.Second))
	n.hangup(door, indoor)
}
