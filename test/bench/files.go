package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
	"github.com/herald-im/herald/test/rig"
)

const fileBytes = 100 << 20

// files sends a file from board to board, and the same file by a plain HTTP PUT.
func files(ctx context.Context, b *bench) ([]row, error) {
	var ups, downs, puts, upShare, downShare []float64
	err := b.house(ctx, func(h *rig.House, hub *rig.Hub) error {
		door, indoor, err := pair(ctx, h, hub, "")
		if err != nil {
			return err
		}
		defer door.Kill()
		defer indoor.Kill()
		for range rounds {
			path := filepath.Join(h.Dir, "file")
			if err := randomFile(path); err != nil {
				return err
			}
			put, err := plainPut(ctx, path, filepath.Join(h.Dir, "put"))
			if err != nil {
				return err
			}
			up, down, err := sendFile(ctx, door, indoor, path)
			if err != nil {
				return err
			}
			puts, ups, downs = append(puts, put), append(ups, up), append(downs, down)
			upShare, downShare = append(upShare, up/put), append(downShare, down/put)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	u, d := median(upShare), median(downShare)
	how := fmt.Sprintf("A file of %d MB of noise. Up: from im.sendMessage to the message's event at the other board, which comes once the hub has the file, verified and synced. "+
		"Down: from device.downloadMessage to its onSuccess, verified and synced. In turn with it the same file by one HTTP PUT to a server that writes and syncs it (%.0f MB/s). Medians of %d rounds.",
		fileBytes>>20, median(puts), rounds)
	return []row{
		{"a file of 100 MB up, loopback, as a share of a plain HTTP PUT", "≥ 0.5", fmt.Sprintf("%.2f (%.0f MB/s)", u, median(ups)), u >= 0.5, how},
		{"the same down", "≥ 0.5", fmt.Sprintf("%.2f (%.0f MB/s)", d, median(downs)), d >= 0.5, ""},
	}, nil
}

func randomFile(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.Reader, fileBytes)
	return errors.Join(err, f.Sync(), f.Close())
}

func megabytes(d time.Duration) float64 { return fileBytes / 1e6 / d.Seconds() }

// plainPut is how fast a file goes from one process's disk to another file by HTTP.
func plainPut(ctx context.Context, from, to string) (float64, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Create(to)
		if err == nil {
			_, err = io.Copy(f, r.Body)
			err = errors.Join(err, f.Sync(), f.Close())
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	f, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+l.Addr().String()+"/file", f)
	if err != nil {
		return 0, err
	}
	req.ContentLength = fileBytes
	began := time.Now()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	took := time.Since(began)
	if res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	return megabytes(took), errors.Join(err, res.Body.Close())
}

func isSuccess(data []byte) bool {
	return bytes.Contains(data, []byte(`"eventType":"`+protocol.DownloadSuccess+`"`))
}

// sendFile sends a file from one board to the other, which then fetches it.
func sendFile(ctx context.Context, from, to *rig.Board, path string) (up, down float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	connected, came, here := make(chan struct{}, 1), make(chan time.Time, 1), make(chan time.Time, 1)
	go func() {
		_ = to.Client().Events(ctx, client.EventsOptions{
			Listen: []string{"advanced"}, Connected: func(string, uint64) { connected <- struct{}{} },
		}, func(e client.Event) error {
			switch e.Name {
			case protocol.OnRecvNewMessage.Info().Name:
				came <- time.Now()
			case protocol.OnDownload.Info().Name:
				if isSuccess(e.Data) {
					here <- time.Now()
				}
			}
			return nil
		})
	}()
	wait := func(ch <-chan time.Time) (time.Time, error) {
		select {
		case at := <-ch:
			return at, nil
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
	select {
	case <-connected:
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	key, err := client.Call(ctx, from.Client(), protocol.CreateFileMessage, protocol.CreateFileRequest{FilePath: path, FileName: "file"})
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	sent, err := client.Call(ctx, from.Client(), protocol.SendMessage, protocol.SendMessageRequest{Receiver: to.User, MessageKey: key.MessageKey})
	if err != nil {
		return 0, 0, err
	}
	at, err := wait(came)
	if err != nil {
		return 0, 0, err
	}
	up = megabytes(at.Sub(began))
	began = time.Now()
	if _, err := client.Call(ctx, to.Client(), protocol.DownloadMessage, protocol.DownloadRequest{MsgID: sent.MsgID}); err != nil {
		return 0, 0, err
	}
	if at, err = wait(here); err != nil {
		return 0, 0, err
	}
	return up, megabytes(at.Sub(began)), nil
}
