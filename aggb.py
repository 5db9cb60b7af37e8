import json,re,collections
d=json.load(open('/tmp/p-old/tb.json'))['traceEvents']
H=collections.defaultdict(lambda:[0,0,0,set()])
for e in d:
    if e.get('cat')!='dispatch': continue
    a=e['args']
    name=re.sub(r'^(.*?)(down|up|mid)_blocks?\.?(\d*)\..*',r'\2\3',a['output'])
    key=(a['pass'],e['name'],a['form'],a['shapes'])
    h=H[key]; h[0]+=1; h[1]+=e['dur']/1e3; h[2]+=(a['flop']+a['padding_flop'])/1e9
tot=sum(h[1] for h in H.values())
print('total',tot)
for k,h in sorted(H.items(),key=lambda x:-x[1][1])[:70]:
    print(f"{h[1]:8.0f} ms {h[0]:6d} x {1e3*h[1]/h[0]:7.0f} us {h[2]/h[1]*1e3:7.1f} GF/s", *k)
