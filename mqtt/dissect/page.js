(()=>{"use strict";
const d=document,get=id=>d.getElementById(id),each=(s,f)=>d.querySelectorAll(s).forEach(f),all=get("all"),bench=get("bench"),n=get("n"),h=get("h"),o=get("o");
let lit=[],before=[];
function light(t){
  lit.forEach(x=>x.classList.remove("lit"));lit=[];
  const e=t.closest?.("[data-b]");
  if(!e)return;
  lit=e.tagName=="A"?[...d.querySelectorAll(`[data-b="${e.dataset.b}"]`)]:[e,get("b"+e.dataset.b)];
  lit.forEach(x=>x.classList.add("lit"));
}
for(const what of["mouseover","focusin"])d.addEventListener(what,e=>light(e.target));
function reveal(){
  const e=get(location.hash.slice(1));
  for(let x=e;x;x=x.parentElement)if(x.tagName=="DETAILS")x.open=true;
  e?.scrollIntoView({block:"nearest"});
}
addEventListener("hashchange",reveal);reveal();
all.hidden=bench.hidden=false;
all.onclick=()=>{const open=!!d.querySelector("details.card:not([open])");each("details.card",x=>x.open=open)};
addEventListener("beforeprint",()=>{before=[];each("details",x=>{before.push([x,x.open]);x.open=true})});
addEventListener("afterprint",()=>before.forEach(([x,open])=>x.open=open));
function show(number,bytes){
  o.textContent=bytes.map(x=>x.toString(2).padStart(8,"0").replace(/^./,c=>c+"\u2009")).join("   ")+"   =   "+
    bytes.map((x,i)=>x%128+"\u00d7"+128**i).join(" + ")+"   =   "+number;
}
function encode(){
  const v=Number(n.value),r=[];
  if(n.value.trim()==""||v%1!=0||0>v||v>268435455){o.textContent="a whole number from 0 to 268435455";return}
  for(let w=v;w>0||r.length==0;w=(w-w%128)/128)r.push(w%128+(w>127?128:0));
  h.value=r.map(x=>x.toString(16).padStart(2,"0")).join(" ");
  show(v,r);
}
function decode(){
  const r=(h.value.match(/[0-9a-f]{2}/gi)||[]).map(x=>parseInt(x,16)),end=r.findIndex(x=>128>x),first=r.slice(0,end+1);
  if((0>end?r.length:end)>3){o.textContent="the fourth byte says that a fifth follows: broken";return}
  if(0>end){o.textContent="one more byte belongs to it";return}
  n.value=first.reduceRight((v,x)=>v*128+x%128,0);
  show(n.value,first);
}
bench.onsubmit=e=>e.preventDefault();
n.oninput=encode;h.oninput=decode;encode();
})();
