(function(){"use strict";
var d=document,lit=[],all=d.getElementById("all"),bench=d.getElementById("bench");
function each(s,f){Array.prototype.forEach.call(d.querySelectorAll(s),f)}
function light(e){
  lit.forEach(function(x){x.classList.remove("lit")});lit=[];
  e=e.closest?e.closest("[data-b]"):null;
  if(!e)return;
  var b=e.getAttribute("data-b");
  lit=e.tagName=="A"?Array.prototype.slice.call(d.querySelectorAll('[data-b="'+b+'"]')):[e,d.getElementById("b"+b)];
  lit.forEach(function(x){x.classList.add("lit")});
}
d.addEventListener("mouseover",function(e){light(e.target)});
d.addEventListener("focusin",function(e){light(e.target)});
function reveal(){
  var e=location.hash?d.getElementById(location.hash.slice(1)):null,x=e;
  while(x){if(x.tagName=="DETAILS")x.open=true;x=x.parentElement}
  if(e)e.scrollIntoView({block:"nearest"});
}
addEventListener("hashchange",reveal);reveal();
function set(open){each("details.card",function(x){x.open=open})}
all.hidden=false;
all.addEventListener("click",function(){set(!!d.querySelector("details.card:not([open])"))});
var before=[];
addEventListener("beforeprint",function(){before=[];each("details",function(x){before.push([x,x.open]);x.open=true})});
addEventListener("afterprint",function(){before.forEach(function(p){p[0].open=p[1]})});
var n=d.getElementById("n"),h=d.getElementById("h"),o=d.getElementById("o");
function show(number,bytes){
  o.textContent=bytes.map(function(x){return x.toString(2).padStart(8,"0").replace(/^./,function(c){return c+"\u2009"})}).join("   ")+"   =   "+
    bytes.map(function(x,i){return x%128+"\u00d7"+Math.pow(128,i)}).join(" + ")+"   =   "+number;
}
function encode(){
  var v=Number(n.value),r=[],x;
  if(n.value.trim()==""||v%1!=0||0>v||v>268435455){o.textContent="a whole number from 0 to 268435455";return}
  var w=v;
  do{x=w%128;w=(w-x)/128;r.push(w>0?x+128:x)}while(w>0);
  h.value=r.map(function(x){return x.toString(16).padStart(2,"0")}).join(" ");
  show(v,r);
}
function decode(){
  var r=(h.value.match(/[0-9a-fA-F]{2}/g)||[]).map(function(x){return parseInt(x,16)}),v=0,i=0;
  for(;r.length>i;i++){
    v+=r[i]%128*Math.pow(128,i);
    if(i==3?r[i]>127:false){o.textContent="the fourth byte says that a fifth follows: broken";return}
    if(128>r[i])break;
  }
  if(i==r.length){o.textContent="one more byte belongs to it";return}
  n.value=v;
  show(v,r.slice(0,i+1));
}
bench.hidden=false;
bench.addEventListener("submit",function(e){e.preventDefault()});
n.addEventListener("input",encode);h.addEventListener("input",decode);encode();
})();
