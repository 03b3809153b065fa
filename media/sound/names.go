package sound

import (
	"os"
	"strconv"
	"strings"
)

// Info is a device that was found.
type Info struct {
	ID       string // that a configuration may call it by: its card's id as ALSA has it, "Loud", and "Loud,1" for the card's second device
	Name     string
	Playback bool
	Formats  []string

	number string // of miniaudio's: ":1,0" is device 0 of card 1
}

// systemDefault is the device that ALSA's own configuration chooses.
const systemDefault = "default"

// cardIDs are the cards' ids by number, of a text like that of /proc/asound/cards:
//
//	1 [Loud           ]: Loopback - Loopback
//	                     Loopback 2
func cardIDs(text string) map[string]string {
	ids := make(map[string]string)
	for line := range strings.Lines(text) {
		number, rest, ok := strings.Cut(line, "[")
		id, _, closed := strings.Cut(rest, "]:")
		if number = strings.TrimSpace(number); !ok || !closed {
			continue
		}
		if _, err := strconv.ParseUint(number, 10, 16); err == nil {
			ids[number] = strings.TrimSpace(id)
		}
	}
	return ids
}

// readCardIDs reads them; none where there are no cards.
func readCardIDs() map[string]string {
	text, _ := os.ReadFile("/proc/asound/cards") // absent where there is no ALSA
	return cardIDs(string(text))
}

// plainID turns miniaudio's ":1,0" into the id that people know, "Loud". Others stay.
func plainID(number string, ids map[string]string) string {
	card, device, ok := strings.Cut(strings.TrimPrefix(number, ":"), ",")
	id := ids[card]
	if !strings.HasPrefix(number, ":") || !ok || id == "" {
		return number
	}
	if device != "0" {
		id += "," + device
	}
	return id
}

// is tells whether a configuration means this device by want: its id, with or without
// the device's number and a plugin's name, as "hw:Loud,0" and "plughw:1,0", or the
// start of its name.
func (i Info) is(want string) bool {
	if want == "" {
		return false
	}
	bare := strings.TrimPrefix(strings.TrimPrefix(want, "plug"), "hw:")
	return bare == i.ID || bare == i.ID+",0" || i.number != "" && ":"+strings.TrimPrefix(bare, ":") == i.number ||
		want == i.number+",0" || strings.HasPrefix(strings.ToLower(i.Name), strings.ToLower(want))
}

// IDOf is the id of the device among those found that a configuration means by want.
// One that was not found goes by its own name.
func IDOf(found []Info, playback bool, want string) string {
	if i, ok := find(found, playback, want); ok {
		return i.ID
	}
	return want
}

// find prefers ids to the starts of names.
func find(found []Info, playback bool, want string) (Info, bool) {
	for _, named := range []bool{false, true} {
		for _, i := range found {
			if !named {
				i.Name = ""
			}
			if i.Playback == playback && i.is(want) {
				return i, true
			}
		}
	}
	return Info{}, false
}

// openable are the names that ALSA is asked to open for want, in this order. The card
// itself comes first: it says what it really has, and nothing is between. Where somebody
// else uses it, or it wants a plugin, it is shared (miniaudio's ":1,0" is dmix or dsnoop).
func openable(found []Info, playback bool, want string) []string {
	if known(want) {
		return []string{want}
	}
	i, ok := find(found, playback, want)
	if !ok || !strings.HasPrefix(i.number, ":") {
		if ok {
			want = i.number
		}
		return []string{want} // ALSA knows more names than it lists: those of asoundrc files
	}
	return []string{"hw" + i.number, i.number, "plughw" + i.number}
}

// known tells whether a name needs no looking for: it is in ALSA's own words.
func known(want string) bool {
	return want == systemDefault || strings.Contains(want, ":") && !strings.HasPrefix(want, ":")
}

// byCard is the device of a card's id ("Loud" or "Loud,1"), without asking ALSA for all
// that there are, which takes it long; ok false: there is no such card.
func byCard(ids map[string]string, playback bool, want string) (found Info, ok bool) {
	id, device, some := strings.Cut(want, ",")
	if !some {
		device = "0"
	}
	for number, of := range ids {
		if of == id && id != "" {
			return Info{ID: want, Playback: playback, number: ":" + number + "," + device}, true
		}
	}
	return Info{}, false
}
