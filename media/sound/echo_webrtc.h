// What echo_webrtc.go may call of echo_webrtc.cc.
typedef struct herald_apm herald_apm;
herald_apm *herald_apm_new(int rate);                          // null: it cannot be made
int herald_apm_clean(herald_apm *a, float *near, float *far);  // 10 ms each, -1 to 1; 0: cleaned
int herald_apm_delay(const herald_apm *a);                     // ms of near's echo behind far; 0: not known
void herald_apm_free(herald_apm *a);
