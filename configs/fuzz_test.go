package configs

import (
	"os"
	"reflect"
	"testing"
)

func addFiles(f *testing.F) {
	for _, s := range samples() {
		data, err := os.ReadFile(s.file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, text := range []string{"", "[hub]\nurl = 1", "hub = {url = \"mqtt://h\"}", "[[hub]]", "hub.url = ''\n[hub]", "[outbox]\nmax_items = -1",
		"[mqtt]\nmax_connections = 0x7fffffffffffffff", "[limits]\nmessage_bytes = \"0B\"", "x = [[[[", "[hub]\nkeepalive = 10", "\"\\u0000\" = 1",
		"[accounts]\nsig_max_expire = \"106751d\"", "\xef\xbb\xbf[log]", "[health]\nbeat = \"\"\"1\nm\"\"\"", "[log]\r\nlevel = 'warn'\r\n"} {
		f.Add([]byte(text))
	}
}

// checkParsed holds what every file must do: not panic; be refused in words
// that a line and a key go with; or give values that are safe to use.
func checkParsed(t *testing.T, data []byte, target any, rules func() []rule) {
	_, ps := parse(data, target)
	for _, p := range ps {
		if p.Text == "" || p.Line < 0 || len(p.String()) > 1000 {
			t.Fatalf("problem %+v", p)
		}
	}
	if ps != nil || failed(rules()) != nil {
		return
	}
	root := reflect.ValueOf(target).Elem()
	for i := range root.NumField() {
		for j := range root.Field(i).NumField() {
			field := root.Field(i).Field(j)
			name := root.Field(i).Type().Field(j).Name
			if field.CanInt() && (field.Int() < 0 || field.Int() == 0 && name != "Port") { // 0 is a free port
				t.Fatalf("%s is %v", name, field.Interface())
			}
		}
	}
}

func FuzzAgentConfig(f *testing.F) {
	addFiles(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		a := DefaultAgent()
		checkParsed(t, data, &a, func() []rule { return a.rules() })
		if a.Validate() == nil {
			if addr, _ := a.Hub.Broker(); addr == "" {
				t.Fatalf("valid url %q has no address", a.Hub.URL)
			}
			for _, o := range a.API.Origins() {
				if o == "" || o == "*" {
					t.Fatalf("origin %q", o)
				}
			}
		}
	})
}

func FuzzHubConfig(f *testing.F) {
	addFiles(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		h := DefaultHub()
		checkParsed(t, data, &h, func() []rule { return h.rules() })
		if h.Validate() == nil && !loopback(h.MQTT.Listen) && !h.MQTT.Plain && !h.MQTT.TLS() {
			t.Fatalf("others reach %q without TLS", h.MQTT.Listen)
		}
	})
}
